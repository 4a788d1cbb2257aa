"""Keys of payment providers, shops and carriers, and private keys of wallets."""

from rlmbox.guard.formats.base import KeyFormat, marked, named

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SHOPIFY = "https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens"
_SQUARE = "https://developer.squareup.com/docs/build-basics/access-tokens"
_STRIPE = "https://docs.stripe.com/keys"

FORMATS: tuple[KeyFormat, ...] = (
    marked("stripe-key", "sk_live_ sk_test_", r"sk_(?:live|test)_[0-9A-Za-z]{16,}", _STRIPE),
    marked("stripe-restricted-key", "rk_live_ rk_test_", r"rk_(?:live|test)_[0-9A-Za-z]{16,}", _STRIPE),
    marked(
        "webhook-secret", "whsec_", r"whsec_[0-9A-Za-z+/=]{24,64}", "https://docs.stripe.com/webhooks#verify-events"
    ),
    marked("square-token", "sq0atp-", r"sq0atp-[0-9A-Za-z_-]{22}", _SQUARE),
    marked("square-secret", "sq0csp-", r"sq0csp-[0-9A-Za-z_-]{43}", _SQUARE),
    marked("square-access-token", "EAAA", r"\bEAAA[0-9A-Za-z_-]{60}\b", _SQUARE),
    marked(
        "braintree-token",
        "access_token$",
        r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}",
        "https://developer.paypal.com/braintree/docs/guides/authorization/",
    ),
    named("paypal-secret", "paypal", r"E[0-9A-Za-z_-]{79}", "https://developer.paypal.com/api/rest/authentication/"),
    named(
        "adyen-key",
        "adyen",
        r"AQE[0-9A-Za-z+/=-]{40,}",
        "https://docs.adyen.com/development-resources/api-credentials/",
    ),
    marked(
        "razorpay-key",
        "rzp_live_ rzp_test_",
        r"rzp_(?:live|test)_[0-9A-Za-z]{14}",
        "https://razorpay.com/docs/payments/dashboard/account-settings/api-keys/",
    ),
    marked(
        "flutterwave-key",
        "FLWSECK",
        r"FLWSECK(?:_TEST)?-[0-9A-Za-z]{12,40}-X",
        "https://developer.flutterwave.com/docs/authentication",
    ),
    marked(
        "mercadopago-token",
        "APP_USR-",
        r"APP_USR-[0-9]{10,20}-[0-9]{6}-[0-9a-f]{32}(?:__[A-Z_]{3,5}__)?-[0-9]{5,12}",
        "https://www.mercadopago.com.br/developers/en/docs/your-integrations/credentials",
    ),
    marked(
        "asaas-key",
        "$aact_",
        r"\$aact_(?:prod_|hmlg_)?[0-9A-Za-z:=-]{40,}",
        "https://docs.asaas.com/docs/autenticacao",
    ),
    marked(
        "pagarme-key",
        "ak_live_ ak_test_",
        r"ak_(?:live|test)_[0-9A-Za-z]{28,40}",
        "https://docs.pagar.me/docs/chaves-de-acesso",
    ),
    marked(
        "plaid-token",
        "access-sandbox- access-development- access-production-",
        rf"access-(?:sandbox|development|production)-{_UUID}",
        "https://plaid.com/docs/api/tokens/",
    ),
    named("plaid-secret", "plaid", r"[0-9a-f]{30}", "https://plaid.com/docs/api/"),
    named(
        "gocardless-token",
        "gocardless",
        r"(?:live|sandbox)_[0-9A-Za-z_-]{36,44}",
        "https://developer.gocardless.com/getting-started/api/making-your-first-request/",
    ),
    marked(
        "paddle-key",
        "pdl_",
        r"pdl_(?:live|sdbx)_apikey_[0-9a-z]{26}_[0-9A-Za-z]{22}_[0-9A-Za-z]{3}",
        "https://developer.paddle.com/api-reference/about/authentication",
    ),
    named(
        "coinbase-key", "coinbase", r"[0-9A-Za-z]{64}", "https://docs.cdp.coinbase.com/get-started/docs/cdp-api-keys"
    ),
    named(
        "binance-key",
        "binance",
        r"[0-9A-Za-z]{64}",
        "https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security",
    ),
    named("kraken-key", "kraken", r"[0-9A-Za-z+/]{86}==", "https://docs.kraken.com/api/docs/guides/spot-rest-auth"),
    marked("shopify-token", "shpat_", r"shpat_[0-9A-Fa-f]{32}", _SHOPIFY),
    marked("shopify-custom-app-token", "shpca_", r"shpca_[0-9A-Fa-f]{32}", _SHOPIFY),
    marked("shopify-private-app-token", "shppa_", r"shppa_[0-9A-Fa-f]{32}", _SHOPIFY),
    marked("shopify-secret", "shpss_", r"shpss_[0-9A-Fa-f]{32}", _SHOPIFY),
    marked(
        "shippo-token",
        "shippo_live_ shippo_test_",
        r"shippo_(?:live|test)_[0-9a-f]{40}",
        "https://docs.goshippo.com/docs/guides_general/authentication/",
    ),
    marked("easypost-key", "EZAK EZTK", r"\bEZ[AT]K[0-9A-Za-z]{54}", "https://docs.easypost.com/docs/authentication"),
    marked(
        "duffel-token",
        "duffel_test_ duffel_live_",
        r"duffel_(?:test|live)_[0-9A-Za-z_=-]{43}",
        "https://duffel.com/docs/api/overview/welcome",
    ),
    named("lob-key", "lob", r"(?:live|test)_[0-9a-f]{35}", "https://docs.lob.com/#tag/Authentication"),
    named(
        "ethereum-private-key",
        "private_key privatekey private-key",
        r"0x[0-9A-Fa-f]{64}",
        "https://ethereum.org/en/developers/docs/accounts/",
    ),
    marked(
        "bitcoin-extended-key",
        "xprv tprv yprv zprv",
        r"\b[xtyz]prv[1-9A-HJ-NP-Za-km-z]{107,108}\b",
        "https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki",
    ),
    named(
        "bitcoin-private-key",
        "wif privkey bitcoin",
        r"[5KL][1-9A-HJ-NP-Za-km-z]{50,51}",
        "https://developer.bitcoin.org/devguide/wallets.html",
    ),
    named("infura-key", "infura", r"[0-9a-f]{32}", "https://docs.infura.io/api/learn/api-key"),
    named(
        "etherscan-key",
        "etherscan",
        r"[0-9A-Z]{34}",
        "https://docs.etherscan.io/getting-started/viewing-api-usage-statistics",
    ),
    named("alchemy-key", "alchemy", r"[0-9A-Za-z_-]{32}", "https://www.alchemy.com/docs/create-an-api-key"),
)
