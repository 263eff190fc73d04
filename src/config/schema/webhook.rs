//! A webhook.

map! { /// `webhook:`, or its address alone
Webhook = "url" {
    url: String,
    ca: String,
}}
