"""Keys of model providers and of the services around them."""

from rlmbox.guard.formats.base import KeyFormat, marked, named

FORMATS: tuple[KeyFormat, ...] = (
    marked(
        "openai-key",
        "sk-proj- sk-svcacct- sk-admin-",
        r"sk-(?:proj|svcacct|admin)-[0-9A-Za-z_-]{20,}",
        "https://platform.openai.com/docs/api-reference/authentication",
    ),
    marked(
        "openai-legacy-key",
        "T3BlbkFJ",
        r"sk-[0-9A-Za-z]{20}T3BlbkFJ[0-9A-Za-z]{20}",
        "https://platform.openai.com/docs/api-reference/authentication",
        lookback=23,
    ),
    marked(
        "anthropic-key",
        "sk-ant-",
        r"sk-ant-[a-z]{2,10}[0-9]{2}-[0-9A-Za-z_-]{32,140}",
        "https://docs.anthropic.com/en/api/getting-started",
    ),
    marked(
        "openrouter-key", "sk-or-", r"sk-or-v1-[0-9a-f]{64}", "https://openrouter.ai/docs/api-reference/authentication"
    ),
    marked(
        "langfuse-key", "sk-lf-", r"sk-lf-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "https://langfuse.com/docs/api"
    ),
    marked("huggingface-token", "hf_", r"hf_[0-9A-Za-z]{30,40}", "https://huggingface.co/docs/hub/security-tokens"),
    marked(
        "huggingface-organization-token",
        "api_org_",
        r"api_org_[0-9A-Za-z]{30,40}",
        "https://huggingface.co/docs/hub/security-tokens",
    ),
    marked("replicate-token", "r8_", r"r8_[0-9A-Za-z]{37}", "https://replicate.com/docs/reference/http#authentication"),
    marked("groq-key", "gsk_", r"gsk_[0-9A-Za-z]{40,60}", "https://console.groq.com/docs/quickstart"),
    marked("xai-key", "xai-", r"xai-[0-9A-Za-z]{60,100}", "https://docs.x.ai/docs/tutorial"),
    marked("perplexity-key", "pplx-", r"pplx-[0-9A-Za-z]{40,60}", "https://docs.perplexity.ai/guides/getting-started"),
    marked("nvidia-key", "nvapi-", r"nvapi-[0-9A-Za-z_-]{50,80}", "https://docs.api.nvidia.com/nim/reference/llm-apis"),
    marked("cerebras-key", "csk-", r"csk-[0-9a-z]{40,56}", "https://inference-docs.cerebras.ai/quickstart"),
    marked("fireworks-key", "fw_", r"fw_[0-9A-Za-z]{20,40}", "https://docs.fireworks.ai/getting-started/quickstart"),
    marked("together-key", "tgp_v1_", r"tgp_v1_[0-9A-Za-z_-]{40,60}", "https://docs.together.ai/docs/quickstart"),
    marked("langsmith-key", "lsv2_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}", "https://docs.smith.langchain.com/"),
    marked(
        "pinecone-key",
        "pcsk_",
        r"pcsk_[0-9A-Za-z]{5,7}_[0-9A-Za-z]{55,70}",
        "https://docs.pinecone.io/guides/projects/manage-api-keys",
    ),
    marked("jina-key", "jina_", r"jina_[0-9A-Za-z_-]{50,70}", "https://jina.ai/api-dashboard/"),
    marked("voyage-key", "pa-", r"pa-[0-9A-Za-z_-]{43}", "https://docs.voyageai.com/docs/api-key-and-installation"),
    marked(
        "tavily-key",
        "tvly-",
        r"tvly-(?:dev-|prod-)?[0-9A-Za-z]{28,40}",
        "https://docs.tavily.com/documentation/api-reference/introduction",
    ),
    marked("firecrawl-key", "fc-", r"fc-[0-9a-f]{32}", "https://docs.firecrawl.dev/api-reference/introduction"),
    marked("e2b-key", "e2b_", r"e2b_[0-9a-f]{40}", "https://e2b.dev/docs/api-key"),
    marked("modal-token", "ak- as-", r"a[ks]-[0-9A-Za-z]{22}", "https://modal.com/docs/reference/modal.config"),
    marked("elevenlabs-key", "sk_", r"sk_[0-9a-f]{48}", "https://elevenlabs.io/docs/api-reference/authentication"),
    marked("cursor-key", "key_", r"key_[0-9a-f]{64}", "https://docs.cursor.com/account/teams/admin-api"),
    marked(
        "llamaindex-key",
        "llx-",
        r"llx-[0-9A-Za-z]{40,60}",
        "https://docs.cloud.llamaindex.ai/llamacloud/getting_started/api_key",
    ),
    marked("api-key", "sk-", r"sk-[0-9A-Za-z]{32,64}", "https://api-docs.deepseek.com/"),
    named("wandb-key", "wandb", r"[0-9a-f]{40}", "https://docs.wandb.ai/quickstart"),
    named("mistral-key", "mistral", r"[0-9A-Za-z]{32}", "https://docs.mistral.ai/getting-started/quickstart/"),
    named("cohere-key", "cohere", r"[0-9A-Za-z]{40}", "https://docs.cohere.com/reference/about"),
    named(
        "deepgram-key", "deepgram", r"[0-9a-f]{40}", "https://developers.deepgram.com/docs/create-additional-api-keys"
    ),
    named("assemblyai-key", "assemblyai", r"[0-9a-f]{32}", "https://www.assemblyai.com/docs/api-reference/overview"),
    named("serpapi-key", "serpapi", r"[0-9a-f]{64}", "https://serpapi.com/search-api"),
    named(
        "brave-search-key", "brave", r"BSA[0-9A-Za-z_-]{28}", "https://api-dashboard.search.brave.com/app/documentation"
    ),
)
