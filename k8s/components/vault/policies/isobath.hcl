# Secrets of sources: written with check-and-set, read in their last version, labelled, and removed with all versions.
path "secret/data/isobath/sources/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/isobath/sources/*" {
  capabilities = ["create", "update", "delete"]
}
