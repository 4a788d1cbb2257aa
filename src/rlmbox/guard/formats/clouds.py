"""Keys of clouds and hosting providers."""

from rlmbox.guard.formats.base import KeyFormat, marked, named

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_AZURE_MARKS = "https://learn.microsoft.com/en-us/azure/storage/common/storage-account-keys-manage"
_DIGITALOCEAN = "https://docs.digitalocean.com/reference/api/create-personal-access-token/"
_VERCEL = "https://vercel.com/docs/rest-api#authentication"

FORMATS: tuple[KeyFormat, ...] = (
    marked(
        "aws-access-key-id",
        "AKIA ASIA ABIA ACCA",
        r"A(?:KIA|SIA|BIA|CCA)[0-9A-Z]{16}",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html",
    ),
    named(
        "aws-secret-key",
        "aws_secret_access_key aws_secret secretaccesskey secret_access_key aws",
        r"[0-9A-Za-z/+]{40}",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html",
    ),
    marked(
        "aws-session-token",
        "IQoJb3JpZ2lu FwoGZXIvYXdz",
        r"(?:IQoJb3JpZ2lu|FwoGZXIvYXdz)[0-9A-Za-z/+]{100,}={0,2}",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp.html",
    ),
    marked(
        "aws-bedrock-key",
        "ABSK bedrock-api-key-",
        r"(?:ABSK[0-9A-Za-z+/]{100,}={0,2}|bedrock-api-key-[0-9A-Za-z+/=]{100,})",
        "https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html",
    ),
    marked("amazon-mws-key", "amzn.mws.", rf"amzn\.mws\.{_UUID}", "https://developer-docs.amazon.com/sp-api/docs"),
    marked(
        "amazon-login-secret",
        "amzn1.oa2-cs.",
        r"amzn1\.oa2-cs\.v1\.[0-9a-f]{64}",
        "https://developer.amazon.com/docs/login-with-amazon/register-web.html",
    ),
    marked("google-api-key", "AIza", r"AIza[0-9A-Za-z_-]{35}", "https://cloud.google.com/docs/authentication/api-keys"),
    marked(
        "google-client-secret",
        "GOCSPX-",
        r"GOCSPX-[0-9A-Za-z_-]{28}",
        "https://developers.google.com/identity/protocols/oauth2",
    ),
    marked(
        "google-access-token",
        "ya29.",
        r"ya29\.[0-9A-Za-z_.-]{20,}",
        "https://cloud.google.com/docs/authentication/token-types",
    ),
    marked(
        "google-refresh-token",
        "1//0",
        r"1//0[0-9A-Za-z_-]{40,}",
        "https://developers.google.com/identity/protocols/oauth2",
    ),
    marked(
        "google-private-key-id",
        '"private_key_id"',
        r'"private_key_id"\s{0,3}:\s{0,3}"([0-9a-f]{40})"',
        "https://cloud.google.com/iam/docs/keys-create-delete",
    ),
    marked(
        "azure-account-key",
        "AccountKey=",
        r"AccountKey=([0-9A-Za-z+/]{86}==)",
        "https://learn.microsoft.com/en-us/azure/storage/common/storage-configure-connection-string",
    ),
    marked(
        "azure-shared-access-key",
        "SharedAccessKey=",
        r"SharedAccessKey=([0-9A-Za-z+/]{43}=)",
        "https://learn.microsoft.com/en-us/azure/service-bus-messaging/service-bus-sas",
    ),
    marked(
        "azure-sas-signature",
        "sig=",
        r"sig=([0-9A-Za-z%+/]{43,80}(?:%3[dD]|=))",
        "https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas",
    ),
    marked(
        "azure-client-secret",
        "Q~",
        r"[0-9A-Za-z_~.-]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,34}",
        "https://learn.microsoft.com/en-us/entra/identity-platform/how-to-add-credentials",
        lookback=4,
    ),
    marked(
        "azure-devops-token",
        "AZDO",
        r"[0-9A-Za-z]{76}AZDO[0-9A-Za-z]{4}",
        "https://learn.microsoft.com/en-us/azure/devops/organizations/accounts/use-personal-access-tokens-to-authenticate",
        lookback=76,
    ),
    marked(
        "azure-service-key",
        "JQQJ99",
        r"[0-9A-Za-z]{52}JQQJ99[0-9A-Za-z]{18,30}",
        "https://learn.microsoft.com/en-us/azure/ai-services/authentication",
        lookback=52,
    ),
    marked(
        "azure-search-key",
        "AzSe",
        r"[0-9A-Za-z]{42}AzSe[A-D][0-9A-Za-z]{5}",
        "https://learn.microsoft.com/en-us/azure/search/search-security-api-keys",
        lookback=42,
    ),
    marked(
        "azure-functions-key",
        "AzFu",
        r"[0-9A-Za-z_-]{44}AzFu[0-9A-Za-z_-]{5}[AQgw]==",
        "https://learn.microsoft.com/en-us/azure/azure-functions/function-keys-how-to",
        lookback=44,
    ),
    marked(
        "azure-redis-key",
        "AzCa",
        r"[0-9A-Za-z]{33}AzCa[A-P][0-9A-Za-z]{5}=",
        "https://learn.microsoft.com/en-us/azure/azure-cache-for-redis/cache-configure",
        lookback=33,
    ),
    marked("azure-storage-key", "+ASt", r"[0-9A-Za-z/+]{76}\+ASt[0-9A-Za-z/+]{6}==", _AZURE_MARKS, lookback=76),
    marked(
        "azure-registry-password",
        "+ACR",
        r"[0-9A-Za-z/+]{42}\+ACR[A-D][0-9A-Za-z]{5}",
        "https://learn.microsoft.com/en-us/azure/container-registry/container-registry-authentication",
        lookback=42,
    ),
    marked("digitalocean-token", "dop_v1_", r"dop_v1_[0-9a-f]{64}", _DIGITALOCEAN),
    marked("digitalocean-oauth-token", "doo_v1_", r"doo_v1_[0-9a-f]{64}", _DIGITALOCEAN),
    marked("digitalocean-refresh-token", "dor_v1_", r"dor_v1_[0-9a-f]{64}", _DIGITALOCEAN),
    marked(
        "alibaba-access-key-id",
        "LTAI",
        r"LTAI[0-9A-Za-z]{12,20}",
        "https://www.alibabacloud.com/help/en/ram/user-guide/create-an-accesskey-pair",
    ),
    named(
        "alibaba-secret",
        "alibaba aliyun",
        r"[0-9A-Za-z]{30}",
        "https://www.alibabacloud.com/help/en/ram/user-guide/create-an-accesskey-pair",
    ),
    marked(
        "tencent-secret-id", "AKID", r"AKID[0-9A-Za-z]{32}", "https://www.tencentcloud.com/document/product/598/32675"
    ),
    marked("volcengine-access-key", "AKLT", r"AKLT[0-9A-Za-z_-]{40,60}", "https://www.volcengine.com/docs/6257/64983"),
    marked(
        "baidu-access-key",
        "bce-v3/ALTAK-",
        r"bce-v3/ALTAK-[0-9A-Za-z]{15,40}/[0-9a-f]{40}",
        "https://cloud.baidu.com/doc/Reference/s/9jwvz2egb",
    ),
    marked(
        "yandex-api-key",
        "AQVN",
        r"AQVN[0-9A-Za-z_-]{35,38}",
        "https://yandex.cloud/en/docs/iam/concepts/authorization/api-key",
    ),
    marked(
        "yandex-static-key",
        "YCAJE YCMZ",
        r"YC(?:AJE[0-9A-Za-z_-]{20}|MZ[0-9A-Za-z_-]{35,38})",
        "https://yandex.cloud/en/docs/iam/concepts/authorization/access-key",
    ),
    marked(
        "scaleway-access-key", "SCW", r"SCW[0-9A-Z]{17}", "https://www.scaleway.com/en/docs/iam/how-to/create-api-keys/"
    ),
    named(
        "ibm-cloud-key",
        "ibmcloud ibm_cloud bluemix",
        r"[0-9A-Za-z_-]{44}",
        "https://cloud.ibm.com/docs/account?topic=account-userapikey",
    ),
    named(
        "linode-token",
        "linode",
        r"[0-9a-f]{64}",
        "https://techdocs.akamai.com/cloud-computing/docs/manage-personal-access-tokens",
    ),
    named("hetzner-token", "hcloud hetzner", r"[0-9A-Za-z]{64}", "https://docs.hetzner.cloud/#authentication"),
    named("vultr-key", "vultr", r"[0-9A-Z]{36}", "https://www.vultr.com/api/#section/Authentication"),
    named("ovh-key", "ovh", r"[0-9A-Za-z]{32}", "https://help.ovhcloud.com/csm/en-api-getting-started-ovhcloud-api"),
    named(
        "cloudflare-token",
        "cloudflare cf_api",
        r"(?:[0-9A-Za-z_-]{40}|[0-9a-f]{37})",
        "https://developers.cloudflare.com/fundamentals/api/get-started/create-token/",
    ),
    marked(
        "cloudflare-origin-key",
        "v1.0-",
        r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}",
        "https://developers.cloudflare.com/fundamentals/api/get-started/ca-keys/",
    ),
    named("fastly-token", "fastly", r"[0-9A-Za-z_-]{32}", "https://docs.fastly.com/en/guides/using-api-tokens"),
    marked("heroku-key", "HRKU-", r"HRKU-[0-9A-Za-z_-]{36,66}", "https://devcenter.heroku.com/articles/authentication"),
    named("heroku-legacy-key", "heroku", _UUID, "https://devcenter.heroku.com/articles/authentication"),
    marked(
        "fly-token",
        "fo1_ fm1r_ fm2_",
        r"(?:fo1_[0-9A-Za-z_-]{43}|fm(?:1r|2)_[0-9A-Za-z+/=,]{80,})",
        "https://fly.io/docs/security/tokens/",
    ),
    marked("render-key", "rnd_", r"rnd_[0-9A-Za-z]{28,40}", "https://render.com/docs/api"),
    marked("vercel-token", "vcp_ vci_ vca_ vcr_ vck_", r"vc[piark]_[0-9A-Za-z]{24,64}", _VERCEL),
    marked(
        "vercel-blob-token",
        "vercel_blob_rw_",
        r"vercel_blob_rw_[0-9A-Za-z]{12,20}_[0-9A-Za-z]{28,40}",
        "https://vercel.com/docs/vercel-blob",
    ),
    marked(
        "netlify-token", "nfp_", r"nfp_[0-9A-Za-z]{36,40}", "https://docs.netlify.com/api/get-started/#authentication"
    ),
    named("railway-token", "railway_token railway_api", _UUID, "https://docs.railway.com/reference/public-api"),
    marked(
        "tailscale-key",
        "tskey-",
        r"tskey-[a-z]{3,8}-[0-9A-Za-z]{8,24}-[0-9A-Za-z]{20,48}",
        "https://tailscale.com/kb/1085/auth-keys",
    ),
    named("ngrok-token", "ngrok", r"[0-9A-Za-z]{20,32}_[0-9A-Za-z]{18,24}", "https://ngrok.com/docs/agent/#authtokens"),
    marked(
        "openshift-token",
        "sha256~",
        r"sha256~[0-9A-Za-z_-]{43}",
        "https://docs.openshift.com/container-platform/latest/authentication/understanding-authentication.html",
    ),
    named(
        "kubernetes-bootstrap-token",
        "kubeadm bootstrap-token --token",
        r"[0-9a-z]{6}\.[0-9a-z]{16}",
        "https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/",
    ),
    marked(
        "rancher-token",
        "kubeconfig-user- token-",
        r"(?:kubeconfig-user-[0-9a-z]{5,20}|token-[0-9a-z]{5}):[0-9a-z]{54}",
        "https://ranchermanager.docs.rancher.com/reference-guides/user-settings/api-keys",
    ),
)
