"""Keys of mail, chat, telephony, social networks, maps and customer services."""

from rlmbox.guard.formats.base import KeyFormat, marked, named

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SLACK = "https://docs.slack.dev/authentication/tokens/"
_META = "https://developers.facebook.com/docs/facebook-login/guides/access-tokens/"

FORMATS: tuple[KeyFormat, ...] = (
    marked("slack-bot-token", "xoxb-", r"xoxb-[0-9A-Za-z-]{20,120}", _SLACK),
    marked("slack-user-token", "xoxp-", r"xoxp-[0-9A-Za-z-]{20,160}", _SLACK),
    marked("slack-legacy-token", "xoxa- xoxr- xoxs- xoxo-", r"xox[arso]-[0-9A-Za-z-]{20,160}", _SLACK),
    marked("slack-configuration-token", "xoxe- xoxe.", r"xoxe(?:\.xox[bp])?-[0-9A-Za-z-]{20,}", _SLACK),
    marked("slack-session-token", "xoxc- xoxd-", r"xox[cd]-[0-9A-Za-z%+/=-]{20,}", _SLACK),
    marked("slack-app-token", "xapp-", r"xapp-[0-9]-[0-9A-Z]{8,14}-[0-9]{8,16}-[0-9a-f]{40,80}", _SLACK),
    marked(
        "slack-webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[0-9A-Z]{8,14}/[0-9A-Za-z]{8,24}/[0-9A-Za-z/]{16,64}",
        "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/",
    ),
    marked(
        "discord-webhook",
        "discord.com/api/webhooks/ discordapp.com/api/webhooks/",
        r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[0-9A-Za-z_-]{60,80}",
        "https://discord.com/developers/docs/resources/webhook",
    ),
    named(
        "discord-token",
        "discord bot_token bottoken",
        r"[MNO][0-9A-Za-z_-]{23,27}\.[0-9A-Za-z_-]{6,7}\.[0-9A-Za-z_-]{27,40}",
        "https://discord.com/developers/docs/reference#authentication",
    ),
    marked(
        "telegram-token",
        ":AA",
        r"\b[0-9]{8,10}:AA[0-9A-Za-z_-]{33}",
        "https://core.telegram.org/bots/api#authorizing-your-bot",
        lookback=10,
    ),
    marked(
        "teams-webhook",
        ".webhook.office.com/webhookb2/",
        r"[0-9a-z-]{3,60}\.webhook\.office\.com/webhookb2/[0-9A-Za-z@-]{70,80}/IncomingWebhook/[0-9a-f]{32}/[0-9A-Za-z-]{36}[0-9A-Za-z/_-]{0,60}",
        "https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook",
        lookback=60,
    ),
    marked(
        "zapier-webhook",
        "hooks.zapier.com/hooks/",
        r"hooks\.zapier\.com/hooks/(?:catch|standard)/[0-9]{4,12}/[0-9A-Za-z]{5,12}",
        "https://zapier.com/apps/webhook/help",
    ),
    marked("twilio-key", "SK", r"\bSK[0-9a-f]{32}\b", "https://www.twilio.com/docs/iam/api-keys"),
    marked("twilio-account-sid", "AC", r"\bAC[0-9a-f]{32}\b", "https://www.twilio.com/docs/iam/api/account"),
    named("twilio-token", "twilio", r"[0-9a-f]{32}", "https://www.twilio.com/docs/iam/api/authtoken"),
    marked(
        "sendgrid-key",
        "SG.",
        r"SG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}",
        "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
    ),
    marked(
        "mailgun-key",
        "key-",
        r"\bkey-[0-9a-f]{32}\b",
        "https://documentation.mailgun.com/docs/mailgun/user-manual/api-key-mgmt/rbac-mgmt",
    ),
    named(
        "mailgun-private-key",
        "mailgun mg_api",
        r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}",
        "https://documentation.mailgun.com/docs/mailgun/user-manual/api-key-mgmt/rbac-mgmt",
    ),
    marked(
        "mailchimp-key",
        "-us",
        r"[0-9a-f]{32}-us[0-9]{1,2}\b",
        "https://mailchimp.com/help/about-api-keys/",
        lookback=32,
    ),
    marked(
        "mandrill-key",
        "md-",
        r"\bmd-[0-9A-Za-z_-]{22}\b",
        "https://mailchimp.com/developer/transactional/guides/quick-start/",
    ),
    marked(
        "brevo-key",
        "xkeysib- xsmtpsib-",
        r"x(?:key|smtp)sib-[0-9a-f]{64}-[0-9A-Za-z]{16}",
        "https://developers.brevo.com/docs/getting-started",
    ),
    named("postmark-token", "postmark", _UUID, "https://postmarkapp.com/developer/api/overview"),
    marked(
        "resend-key",
        "re_",
        r"\bre_[0-9A-Za-z]{8}_[0-9A-Za-z]{24}\b",
        "https://resend.com/docs/dashboard/api-keys/introduction",
    ),
    marked(
        "mailersend-token",
        "mlsn.",
        r"mlsn\.[0-9a-f]{64}",
        "https://developers.mailersend.com/general.html#authentication",
    ),
    named(
        "messagebird-key", "messagebird", r"[0-9A-Za-z]{25}", "https://developers.messagebird.com/api/#authentication"
    ),
    named(
        "vonage-secret",
        "nexmo vonage",
        r"[0-9A-Za-z]{16}",
        "https://developer.vonage.com/en/getting-started/concepts/authentication",
    ),
    marked(
        "intercom-token",
        "dG9rO",
        r"\bdG9rO[0-9A-Za-z+/]{54,56}={0,2}",
        "https://developers.intercom.com/docs/build-an-integration/learn-more/authentication",
    ),
    named(
        "zendesk-token",
        "zendesk",
        r"[0-9A-Za-z]{40}",
        "https://developer.zendesk.com/api-reference/introduction/security-and-auth/",
    ),
    named("freshdesk-key", "freshdesk", r"[0-9A-Za-z]{20}", "https://developers.freshdesk.com/api/#authentication"),
    marked(
        "facebook-token", "EAAB EAAC EAAD EAAE EAAF EAAG EAAI EAAJ EAAM", r"\bEAA[BCDEFGIJM][0-9A-Za-z]{80,}", _META
    ),
    named("facebook-secret", "facebook fb_app", r"[0-9a-f]{32}", _META),
    marked(
        "instagram-token",
        "IGQV IGQW IGAA",
        r"\bIG(?:QV|QW|AA)[0-9A-Za-z_-]{80,}",
        "https://developers.facebook.com/docs/instagram-platform/reference/access_token/",
    ),
    marked(
        "x-bearer-token",
        "AAAAAAAAAAAAAAAAAAAAA",
        r"A{21}[0-9A-Za-z%]{60,110}",
        "https://docs.x.com/resources/fundamentals/authentication/oauth-2-0/bearer-tokens",
    ),
    named(
        "x-secret",
        "twitter",
        r"[0-9A-Za-z]{45,50}",
        "https://docs.x.com/resources/fundamentals/authentication/api-key-and-secret",
    ),
    named(
        "linkedin-secret",
        "linkedin",
        r"(?:WPL_AP1\.[0-9A-Za-z]{16}\.[0-9A-Za-z+/=]{8}|[0-9A-Za-z]{16})",
        "https://learn.microsoft.com/en-us/linkedin/shared/authentication/authentication",
    ),
    named("twitch-secret", "twitch", r"[0-9a-z]{30}", "https://dev.twitch.tv/docs/authentication/"),
    named(
        "spotify-secret",
        "spotify",
        r"[0-9a-f]{32}",
        "https://developer.spotify.com/documentation/web-api/concepts/authorization",
    ),
    named("reddit-secret", "reddit", r"[0-9A-Za-z_-]{27,30}", "https://github.com/reddit-archive/reddit/wiki/OAuth2"),
    marked("dropbox-token", "sl.", r"\bsl\.(?:u\.)?[0-9A-Za-z_-]{120,}", "https://developers.dropbox.com/oauth-guide"),
    named("box-secret", "box_client boxsdk", r"[0-9A-Za-z]{32}", "https://developer.box.com/guides/authentication/"),
    named(
        "okta-token",
        "okta ssws",
        r"00[0-9A-Za-z_-]{40}",
        "https://developer.okta.com/docs/guides/create-an-api-token/main/",
    ),
    named(
        "auth0-secret",
        "auth0",
        r"[0-9A-Za-z_-]{64}",
        "https://auth0.com/docs/get-started/applications/application-settings",
    ),
    marked(
        "hubspot-token",
        "pat-na pat-eu",
        rf"\bpat-(?:na|eu)[0-9]-{_UUID}",
        "https://developers.hubspot.com/docs/guides/apps/private-apps/overview",
    ),
    marked(
        "salesforce-token",
        "00D",
        r"\b00D[0-9A-Za-z]{12,15}![0-9A-Za-z_.]{80,}",
        "https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_tokens_scopes.htm",
    ),
    named(
        "pipedrive-token",
        "pipedrive",
        r"[0-9a-f]{40}",
        "https://pipedrive.readme.io/docs/core-api-concepts-authentication",
    ),
    named("algolia-key", "algolia", r"[0-9a-f]{32}", "https://www.algolia.com/doc/guides/security/api-keys/"),
    marked(
        "mapbox-token",
        "sk.eyJ",
        r"sk\.eyJ[0-9A-Za-z_-]{40,}\.[0-9A-Za-z_-]{20,30}",
        "https://docs.mapbox.com/help/dive-deeper/access-tokens/",
    ),
    marked(
        "typeform-token",
        "tfp_",
        r"tfp_[0-9A-Za-z_.=-]{40,64}",
        "https://www.typeform.com/developers/get-started/personal-access-token/",
    ),
    marked(
        "pubnub-secret",
        "sec-c-",
        r"sec-c-[0-9A-Za-z=-]{32,64}",
        "https://www.pubnub.com/docs/general/setup/account-setup",
    ),
    marked(
        "maxmind-key",
        "_mmk",
        r"[0-9A-Za-z]{6}_[0-9A-Za-z]{29}_mmk",
        "https://support.maxmind.com/hc/en-us/articles/4407111582235",
        lookback=36,
    ),
    named("amplitude-key", "amplitude", r"[0-9a-f]{32}", "https://amplitude.com/docs/apis/authentication"),
    named("mixpanel-secret", "mixpanel", r"[0-9a-f]{32}", "https://developer.mixpanel.com/reference/authentication"),
    named(
        "segment-key",
        "segment_write writekey",
        r"[0-9A-Za-z]{32}",
        "https://segment.com/docs/connections/find-writekey/",
    ),
)
