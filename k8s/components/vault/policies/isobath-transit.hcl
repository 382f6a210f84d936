# The key of the embedded store, wrapped by Transit (VAULT_TRANSIT_KEY=isobath), instead of secrets in Vault.
path "transit/datakey/wrapped/isobath" {
  capabilities = ["update"]
}
path "transit/decrypt/isobath" {
  capabilities = ["update"]
}
