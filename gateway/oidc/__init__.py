"""Pure rules of OAuth 2.0 and OpenID Connect: values in, narrower types or `Refused` out."""
