"""Keys of monitoring, databases and devices, and formats without a single issuer."""

from rlmbox.guard.formats.base import KeyFormat, marked, named

_PLANETSCALE = "https://planetscale.com/docs/concepts/service-tokens"
_CRYPT = "https://man7.org/linux/man-pages/man5/crypt.5.html"
_BEARER = "https://datatracker.ietf.org/doc/html/rfc6750#section-2.1"

FORMATS: tuple[KeyFormat, ...] = (
    marked(
        "databricks-token",
        "dapi",
        r"\bdapi[0-9a-f]{32}(?:-[0-9])?\b",
        "https://docs.databricks.com/aws/en/dev-tools/auth/pat",
    ),
    marked(
        "grafana-token",
        "glsa_",
        r"glsa_[0-9A-Za-z]{32}_[0-9A-Fa-f]{8}",
        "https://grafana.com/docs/grafana/latest/administration/service-accounts/",
    ),
    marked(
        "grafana-cloud-token",
        "glc_",
        r"glc_[0-9A-Za-z+/]{32,}={0,2}",
        "https://grafana.com/docs/grafana-cloud/security-and-account-management/authentication-and-permissions/access-policies/",
    ),
    marked(
        "grafana-key",
        "eyJrIjoi",
        r"eyJrIjoi[0-9A-Za-z]{60,}={0,2}",
        "https://grafana.com/docs/grafana/latest/administration/service-accounts/migrate-api-keys/",
    ),
    marked(
        "newrelic-key",
        "NRAK- NRAA-",
        r"NRA[KA]-[0-9A-Za-z]{27,42}",
        "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/",
    ),
    marked(
        "newrelic-license-key",
        "NRAL",
        r"[0-9a-f]{36}NRAL\b",
        "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/",
        lookback=36,
    ),
    marked(
        "newrelic-insights-key",
        "NRII- NRIQ-",
        r"NRI[IQ]-[0-9A-Za-z_-]{25,32}",
        "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/",
    ),
    marked(
        "sentry-token",
        "sntrys_ sntryu_",
        r"sntry(?:u_[0-9a-f]{64}|s_[0-9A-Za-z+/=_-]{60,})",
        "https://docs.sentry.io/account/auth-tokens/",
    ),
    marked(
        "dynatrace-token",
        "dt0",
        r"\bdt0[a-z][0-9]{2}\.[0-9A-Z]{24}\.[0-9A-Z]{64}",
        "https://docs.dynatrace.com/docs/manage/identity-access-management/access-tokens-and-oauth-clients/access-tokens",
    ),
    marked(
        "honeycomb-key",
        "hcaik_ hcxik_ hcxmk_ hcamk_",
        r"hc[ax][im]k_[0-9A-Za-z]{50,64}",
        "https://docs.honeycomb.io/configure/environments/manage-api-keys/",
    ),
    named(
        "datadog-key",
        "datadog dd_api dd_app dd-api-key",
        r"(?:[0-9a-f]{40}|[0-9a-f]{32})",
        "https://docs.datadoghq.com/account_management/api-app-keys/",
    ),
    named("rollbar-token", "rollbar", r"[0-9a-f]{32}", "https://docs.rollbar.com/docs/access-tokens"),
    named("bugsnag-key", "bugsnag", r"[0-9a-f]{32}", "https://docs.bugsnag.com/api/error-reporting/"),
    named(
        "opsgenie-key",
        "opsgenie",
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "https://support.atlassian.com/opsgenie/docs/api-key-management/",
    ),
    named(
        "pagerduty-key",
        "pagerduty pd_api",
        r"(?:[uye]\+?[0-9A-Za-z_-]{18,19}|[0-9a-f]{32})",
        "https://support.pagerduty.com/main/docs/api-access-keys",
    ),
    named(
        "sumologic-key",
        "sumo_access sumologic",
        r"(?:[0-9A-Za-z]{64}|su[0-9A-Za-z]{12})",
        "https://help.sumologic.com/docs/manage/security/access-keys/",
    ),
    named(
        "splunk-token",
        "splunk hec_token",
        r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
        "https://help.splunk.com/en/splunk-enterprise/get-started/get-data-in",
    ),
    named(
        "loggly-token",
        "loggly",
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "https://documentation.solarwinds.com/en/success_center/loggly/content/admin/customer-token-authentication-token.htm",
    ),
    marked("posthog-key", "phx_", r"phx_[0-9A-Za-z]{40,50}", "https://posthog.com/docs/api"),
    marked("planetscale-token", "pscale_tkn_", r"pscale_tkn_[0-9A-Za-z_=.-]{32,64}", _PLANETSCALE),
    marked("planetscale-oauth-token", "pscale_oauth_", r"pscale_oauth_[0-9A-Za-z_=.-]{32,64}", _PLANETSCALE),
    marked("planetscale-password", "pscale_pw_", r"pscale_pw_[0-9A-Za-z_=.-]{32,64}", _PLANETSCALE),
    marked("supabase-token", "sbp_", r"sbp_[0-9a-f]{40}", "https://supabase.com/docs/reference/api/introduction"),
    marked(
        "supabase-secret",
        "sb_secret_",
        r"sb_secret_[0-9A-Za-z_-]{22,50}",
        "https://supabase.com/docs/guides/api/api-keys",
    ),
    marked("neon-key", "napi_", r"napi_[0-9a-z]{60,70}", "https://neon.com/docs/manage/api-keys"),
    marked(
        "cockroach-key",
        "CCDB1_",
        r"CCDB1_[0-9A-Za-z]{22}_[0-9A-Za-z]{40}",
        "https://www.cockroachlabs.com/docs/cockroachcloud/managing-access",
    ),
    marked(
        "mongodb-atlas-secret",
        "mdb_sa_sk_",
        r"mdb_sa_sk_[0-9A-Za-z_-]{32,48}",
        "https://www.mongodb.com/docs/atlas/api/service-accounts-overview/",
    ),
    marked(
        "confluent-secret",
        "cflt",
        r"\bcflt[0-9A-Za-z/+]{60}",
        "https://docs.confluent.io/cloud/current/security/authenticate/workload-identities/service-accounts/api-keys/overview.html",
    ),
    named(
        "confluent-legacy-secret",
        "confluent",
        r"[0-9A-Za-z/+]{64}",
        "https://docs.confluent.io/cloud/current/security/authenticate/workload-identities/service-accounts/api-keys/overview.html",
    ),
    marked(
        "aiven-token",
        "aivenv1",
        r"aivenv1[0-9A-Za-z+/=]{100,}",
        "https://aiven.io/docs/platform/concepts/authentication-tokens",
    ),
    marked(
        "dbt-token",
        "dbtc_ dbtu_",
        r"dbt[cu]_[0-9A-Za-z_-]{36,60}={0,2}",
        "https://docs.getdbt.com/docs/dbt-cloud-apis/authentication",
    ),
    marked("adafruit-key", "aio_", r"\baio_[0-9A-Za-z]{28}\b", "https://io.adafruit.com/api/docs/"),
    marked("ubidots-token", "BBFF-", r"BBFF-[0-9A-Za-z]{30}", "https://docs.ubidots.com/reference/authentication"),
    marked("endor-key", "endr+", r"endr\+[0-9A-Za-z-]{16}", "https://docs.endorlabs.com/administration/api-keys/"),
    marked(
        "defined-networking-key",
        "dnkey-",
        r"dnkey-[0-9A-Z=_-]{26}-[0-9A-Z=_-]{52}",
        "https://docs.defined.net/guides/rotating-api-keys/",
    ),
    marked("age-secret-key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}", "https://age-encryption.org/v1"),
    marked(
        "wireguard-key",
        "PrivateKey PresharedKey",
        r"P(?:rivate|reshared)Key\s{0,4}=\s{0,4}([0-9A-Za-z+/]{42}[AEIMQUYcgkosw048]=)",
        "https://man7.org/linux/man-pages/man8/wg.8.html",
    ),
    marked(
        "private-key",
        "-----BEGIN",
        r"-----BEGIN [0-9A-Z ]{0,40}(?:PRIVATE KEY(?: BLOCK)?|OpenVPN Static key V1)-----"
        # Up to its end; if truncated, as far as lines look like it. With nothing in between it is only mentioned.
        r"(?:[^0-9A-Za-z]{0,8}(?:\\n)?[0-9A-Za-z+/=:,.\s\\\"'#*>|-]*?[0-9A-Za-z+/]{3}[0-9A-Za-z+/=:,.\s\\\"'#*>|-]*?"
        r"-----END [0-9A-Za-z ]{0,60}-----|(?:[\s\\nr\"'#*>|+]*[0-9A-Za-z+/=]{16,})+)",
        "https://datatracker.ietf.org/doc/html/rfc7468",
    ),
    marked(
        "putty-private-key",
        "PuTTY-User-Key-File-",
        r"PuTTY-User-Key-File-[23]: (?s:.*?)Private-MAC: [0-9a-f]{40,64}",
        "https://the.earth.li/~sgtatham/putty/latest/htmldoc/AppendixC.html",
    ),
    marked(
        "jwk-private-key",
        '"d"',
        r'"d"\s{0,3}:\s{0,3}"([0-9A-Za-z_-]{40,})"',
        "https://datatracker.ietf.org/doc/html/rfc7517",
    ),
    marked(
        "jwt",
        "eyJ",
        r"\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{2,}\.[0-9A-Za-z_-]*(?:\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,})?",
        "https://datatracker.ietf.org/doc/html/rfc7519",
    ),
    KeyFormat(
        "bearer-token", ("bearer ",), r"(?i:bearer) {1,2}([0-9A-Za-z_.~+/-]{20,}={0,2})", _BEARER, ignores_case=True
    ),
    KeyFormat(
        "basic-authorization",
        ("basic ",),
        r"(?i:authorization[\"']?\s{0,2}[:=]\s{0,2}[\"']?basic) ([0-9A-Za-z+/]{8,}={0,2})",
        "https://datatracker.ietf.org/doc/html/rfc7617",
        lookback_chars=20,
        ignores_case=True,
    ),
    marked("bcrypt-hash", "$2a$ $2b$ $2y$", r"\$2[aby]\$[0-9]{2}\$[0-9A-Za-z./]{53}", _CRYPT),
    marked(
        "crypt-hash",
        "$1$ $5$ $6$ $y$ $apr1$",
        r"\$(?:1|5|6|y|apr1)\$(?:rounds=[0-9]{1,9}\$)?[0-9A-Za-z./$]{1,60}\$[0-9A-Za-z./]{22,86}",
        _CRYPT,
    ),
    marked(
        "argon2-hash",
        "$argon2",
        r"\$argon2(?:id|i|d)\$v=[0-9]{1,3}\$m=[0-9]{1,9},t=[0-9]{1,9},p=[0-9]{1,4}\$[0-9A-Za-z+/]{11,90}\$[0-9A-Za-z+/]{20,90}",
        "https://datatracker.ietf.org/doc/html/rfc9106",
    ),
    marked(
        "django-hash",
        "pbkdf2_sha",
        r"pbkdf2_sha(?:1|256|512)\$[0-9]{1,9}\$[0-9A-Za-z]{1,40}\$[0-9A-Za-z+/]{27,90}={0,2}",
        "https://docs.djangoproject.com/en/stable/topics/auth/passwords/",
    ),
    marked(
        "one-time-password-seed",
        "otpauth://",
        r"otpauth://[a-z]{4}/[^\s\"'<>]{0,200}[?&]secret=([2-7A-Za-z]{16,128})",
        "https://github.com/google/google-authenticator/wiki/Key-Uri-Format",
    ),
)
