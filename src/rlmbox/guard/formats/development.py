"""Keys of code hosting, package registries, build services and developer tools."""

from rlmbox.guard.formats.base import KeyFormat, marked, named

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_GITHUB = (
    "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github"
)
_GITLAB = "https://docs.gitlab.com/security/tokens/"

FORMATS: tuple[KeyFormat, ...] = (
    marked("github-token", "ghp_", r"ghp_[0-9A-Za-z]{36,}", _GITHUB),
    marked("github-oauth-token", "gho_", r"gho_[0-9A-Za-z]{36,}", _GITHUB),
    marked("github-user-token", "ghu_", r"ghu_[0-9A-Za-z]{36,}", _GITHUB),
    marked("github-server-token", "ghs_", r"ghs_[0-9A-Za-z]{36,}", _GITHUB),
    marked("github-refresh-token", "ghr_", r"ghr_[0-9A-Za-z]{36,}", _GITHUB),
    marked("github-fine-grained-token", "github_pat_", r"github_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}", _GITHUB),
    marked("gitlab-token", "glpat-", r"glpat-[0-9A-Za-z_.-]{20,64}", _GITLAB),
    marked("gitlab-deploy-token", "gldt-", r"gldt-[0-9A-Za-z_-]{20,64}", _GITLAB),
    marked("gitlab-runner-token", "glrt- glrtr-", r"glrtr?-[0-9A-Za-z_.-]{20,64}", _GITLAB),
    marked("gitlab-runner-registration-token", "GR1348941", r"GR1348941[0-9A-Za-z_-]{20}", _GITLAB),
    marked("gitlab-job-token", "glcbt-", r"glcbt-[0-9A-Za-z]{1,5}_[0-9A-Za-z_-]{20,64}", _GITLAB),
    marked("gitlab-trigger-token", "glptt-", r"glptt-[0-9a-f]{40}", _GITLAB),
    marked("gitlab-feed-token", "glft-", r"glft-[0-9A-Za-z_-]{20,90}", _GITLAB),
    marked("gitlab-mail-token", "glimt-", r"glimt-[0-9A-Za-z_-]{25}", _GITLAB),
    marked("gitlab-agent-token", "glagent-", r"glagent-[0-9A-Za-z_-]{50,}", _GITLAB),
    marked("gitlab-oauth-secret", "gloas-", r"gloas-[0-9A-Za-z_-]{64}", _GITLAB),
    marked("gitlab-scim-token", "glsoat-", r"glsoat-[0-9A-Za-z_-]{20,64}", _GITLAB),
    marked("gitlab-flags-token", "glffct-", r"glffct-[0-9A-Za-z_-]{20,64}", _GITLAB),
    marked(
        "bitbucket-app-password",
        "ATBB",
        r"ATBB[0-9A-Za-z]{28,36}",
        "https://support.atlassian.com/bitbucket-cloud/docs/app-passwords/",
    ),
    marked(
        "atlassian-token",
        "ATATT3 ATCTT3",
        r"AT(?:A|C)TT3[0-9A-Za-z_=-]{60,}",
        "https://support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account/",
    ),
    marked(
        "npm-token",
        "npm_",
        r"npm_[0-9A-Za-z]{36}",
        "https://github.blog/changelog/2021-09-23-npm-has-a-new-access-token-format/",
    ),
    marked("npm-auth-token", "_authToken=", r"_authToken=([0-9A-Za-z+/=_-]{16,})", "https://github.com/npm/npmrc"),
    marked(
        "python-index-token",
        "pypi-AgE",
        r"pypi-AgE[0-9A-Za-z_-]{60,}",
        "https://warehouse.pypa.io/development/token-scanning.html",
    ),
    marked("rubygems-key", "rubygems_", r"rubygems_[0-9a-f]{48}", "https://guides.rubygems.org/api-key-scopes/"),
    marked(
        "cargo-token", "cio", r"\bcio[0-9A-Za-z]{32}\b", "https://doc.rust-lang.org/cargo/reference/publishing.html"
    ),
    marked(
        "nuget-key", "oy2", r"\boy2[0-9a-z]{43}\b", "https://learn.microsoft.com/en-us/nuget/nuget-org/scoped-api-keys"
    ),
    marked(
        "clojars-token",
        "CLOJARS_",
        r"CLOJARS_[0-9a-z]{60}",
        "https://github.com/clojars/clojars-web/wiki/Deploy-Tokens",
    ),
    marked(
        "docker-token",
        "dckr_pat_ dckr_oat_",
        r"dckr_[po]at_[0-9A-Za-z_-]{27,40}",
        "https://docs.docker.com/security/access-tokens/",
    ),
    marked(
        "docker-registry-login",
        '"auth"',
        r'"auth"\s{0,3}:\s{0,3}"([0-9A-Za-z+/]{16,}={0,2})"',
        "https://docs.docker.com/reference/cli/docker/login/",
    ),
    marked(
        "artifactory-key",
        "AKCp",
        r"AKCp[0-9A-Za-z]{60,80}",
        "https://jfrog.com/help/r/jfrog-platform-administration-documentation/api-key",
    ),
    marked(
        "artifactory-reference-token",
        "cmVmd",
        r"cmVmd[0-9A-Za-z]{59}",
        "https://jfrog.com/help/r/jfrog-platform-administration-documentation/reference-token",
    ),
    marked(
        "terraform-token",
        ".atlasv1.",
        r"[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_-]{60,70}",
        "https://developer.hashicorp.com/terraform/cloud-docs/users-teams-organizations/api-tokens",
        lookback=14,
    ),
    marked(
        "vault-token",
        "hvs. hvb. hvr.",
        r"hv[sbr]\.[0-9A-Za-z_-]{24,}",
        "https://developer.hashicorp.com/vault/docs/concepts/tokens",
    ),
    marked(
        "pulumi-token",
        "pul-",
        r"pul-[0-9a-f]{40}",
        "https://www.pulumi.com/docs/pulumi-cloud/access-management/access-tokens/",
    ),
    marked(
        "doppler-token",
        "dp.pt. dp.st. dp.sa. dp.ct. dp.scim. dp.audit.",
        r"dp\.(?:pt|st|sa|ct|scim|audit)\.(?:[0-9a-z_-]{2,35}\.)?[0-9A-Za-z]{40,44}",
        "https://docs.doppler.com/reference/auth-token-formats",
    ),
    marked(
        "infisical-token",
        "st.",
        r"\bst\.[0-9a-f]{24}\.[0-9a-f]{32}\.[0-9a-f]{32}",
        "https://infisical.com/docs/documentation/platform/token",
    ),
    marked(
        "sourcegraph-token",
        "sgp_",
        r"sgp_(?:[0-9a-f]{16}_|local_)?[0-9a-f]{40}",
        "https://sourcegraph.com/docs/cli/how-tos/creating_an_access_token",
    ),
    marked(
        "sonar-token",
        "squ_ sqp_ sqa_",
        r"sq[upa]_[0-9a-f]{40}",
        "https://docs.sonarsource.com/sonarqube-server/latest/user-guide/managing-tokens/",
    ),
    marked(
        "circleci-token",
        "CCIPAT_ CCIPRJ_",
        r"CCIP(?:AT|RJ)_[0-9A-Za-z]{22}_[0-9a-f]{40}",
        "https://circleci.com/docs/managing-api-tokens/",
    ),
    named(
        "circleci-legacy-token",
        "circleci circle_token",
        r"[0-9a-f]{40}",
        "https://circleci.com/docs/managing-api-tokens/",
    ),
    marked("buildkite-token", "bkua_", r"bkua_[0-9a-f]{40}", "https://buildkite.com/docs/apis/managing-api-tokens"),
    named("travis-token", "travis", r"[0-9A-Za-z_-]{22}", "https://docs.travis-ci.com/user/triggering-builds/"),
    named("codecov-token", "codecov", _UUID, "https://docs.codecov.com/docs/codecov-tokens"),
    named("coveralls-token", "coveralls", r"[0-9A-Za-z]{33}", "https://docs.coveralls.io/"),
    named("jenkins-token", "jenkins", r"11[0-9a-f]{32}", "https://www.jenkins.io/doc/book/using/using-credentials/"),
    marked(
        "octopus-key",
        "API-",
        r"\bAPI-[0-9A-Z]{26,32}\b",
        "https://octopus.com/docs/octopus-rest-api/how-to-create-an-api-key",
    ),
    marked(
        "harness-token",
        "pat.",
        r"\bpat\.[0-9A-Za-z_-]{22}\.[0-9a-f]{24}\.[0-9A-Za-z]{20}",
        "https://developer.harness.io/docs/platform/automation/api/add-and-manage-api-keys/",
    ),
    marked(
        "postman-key",
        "PMAK-",
        r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
        "https://learning.postman.com/docs/developer/postman-api/authentication/",
    ),
    marked("readme-key", "rdme_", r"rdme_[0-9a-z]{70}", "https://docs.readme.com/main/reference/authentication"),
    marked(
        "linear-key",
        "lin_api_ lin_oauth_",
        r"lin_(?:api|oauth)_[0-9A-Za-z]{40,64}",
        "https://linear.app/developers/graphql",
    ),
    marked("notion-token", "ntn_", r"ntn_[0-9]{11}[0-9A-Za-z]{35}", "https://developers.notion.com/docs/authorization"),
    marked(
        "notion-legacy-token",
        "secret_",
        r"\bsecret_[0-9A-Za-z]{43}",
        "https://developers.notion.com/docs/authorization",
    ),
    marked("figma-token", "figd_", r"figd_[0-9A-Za-z_-]{38,50}", "https://www.figma.com/developers/api#access-tokens"),
    named(
        "asana-token",
        "asana",
        r"[12]/[0-9]{13,18}(?:/[0-9]{13,18})?:[0-9a-f]{32}",
        "https://developers.asana.com/docs/personal-access-token",
    ),
    marked(
        "airtable-token",
        "pat",
        r"\bpat[0-9A-Za-z]{14}\.[0-9a-f]{64}",
        "https://airtable.com/developers/web/guides/personal-access-tokens",
    ),
    marked(
        "clickup-token", "pk_", r"\bpk_[0-9]{5,10}_[0-9A-Z]{32}", "https://developer.clickup.com/docs/authentication"
    ),
    marked(
        "contentful-token",
        "CFPAT-",
        r"CFPAT-[0-9A-Za-z_-]{43}",
        "https://www.contentful.com/developers/docs/references/authentication/",
    ),
    marked(
        "launchdarkly-key",
        "sdk- api- mob-",
        rf"\b(?:sdk|api|mob)-{_UUID}",
        "https://launchdarkly.com/docs/home/account/environment/keys",
    ),
    marked("statsig-secret", "secret-", r"\bsecret-[0-9A-Za-z]{40,50}", "https://docs.statsig.com/sdk-keys/api-keys/"),
    marked(
        "frameio-token",
        "fio-u-",
        r"fio-u-[0-9A-Za-z_=-]{60,70}",
        "https://developer.frame.io/docs/getting-started/authentication",
    ),
    marked(
        "lichess-token", "lip_", r"lip_[0-9A-Za-z]{20}", "https://lichess.org/api#section/Introduction/Authentication"
    ),
    named(
        "trello-token",
        "trello",
        r"(?:ATTA[0-9a-f]{64}[0-9A-F]{8}|[0-9a-f]{64})",
        "https://developer.atlassian.com/cloud/trello/guides/rest-api/api-introduction/",
    ),
    marked("scalingo-token", "tk-us-", r"tk-us-[0-9A-Za-z_-]{48}", "https://developers.scalingo.com/tokens"),
    marked(
        "settlemint-token",
        "sm_pat_ sm_aat_ sm_sat_",
        r"sm_[pas]at_[0-9A-Za-z]{16,64}",
        "https://console.settlemint.com/documentation/",
    ),
    marked(
        "prefect-key",
        "pnu_ pnb_",
        r"pn[ub]_[0-9A-Za-z]{36}",
        "https://docs.prefect.io/v3/manage/cloud/manage-users/api-keys",
    ),
    marked(
        "inngest-key",
        "signkey-",
        r"signkey-(?:prod|test|branch)-[0-9a-f]{32,64}",
        "https://www.inngest.com/docs/platform/signing-keys",
    ),
    marked(
        "trigger-key",
        "tr_prod_ tr_dev_ tr_stg_",
        r"tr_(?:prod|dev|stg)_[0-9A-Za-z]{20,32}",
        "https://trigger.dev/docs/apikeys",
    ),
    marked(
        "zuplo-key", "zpka_", r"zpka_[0-9a-z]{20,48}_[0-9a-f]{8}", "https://zuplo.com/docs/articles/api-key-management"
    ),
    marked(
        "onepassword-token",
        "ops_eyJ",
        r"ops_eyJ[0-9A-Za-z+/_-]{200,}={0,3}",
        "https://developer.1password.com/docs/service-accounts/",
    ),
    marked(
        "onepassword-secret-key",
        "A3-",
        r"\bA3-[0-9A-Z]{6}-(?:[0-9A-Z]{11}|[0-9A-Z]{6}-[0-9A-Z]{5})-[0-9A-Z]{5}-[0-9A-Z]{5}-[0-9A-Z]{5}\b",
        "https://support.1password.com/secret-key-security/",
    ),
)
