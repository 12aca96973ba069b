"""The pages of the webmail, by topic. Spec: spec/web.md."""
