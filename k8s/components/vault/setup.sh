#!/bin/sh
# What the component vault needs of a Vault or OpenBao server, once, by somebody who may administer it:
#
#     VAULT_ADDR=https://vault.example.com:8200 sh k8s/components/vault/setup.sh
#
# Run again, it writes the same. The database engine, where it is wanted, is in docs/vault.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

vault secrets list | grep -q '^secret/' || vault secrets enable -path=secret -version=2 kv
vault auth list | grep -q '^kubernetes/' || vault auth enable kubernetes
vault write auth/kubernetes/config kubernetes_host="${KUBERNETES_HOST:-https://kubernetes.default.svc}"
for policy in isobath isobath-database isobath-transit; do
  vault policy write "$policy" "$here/policies/$policy.hcl"
done
# the account of the pods `credentials`, in their namespace, with a token that was made for Vault
vault write auth/kubernetes/role/isobath \
  bound_service_account_names=credentials bound_service_account_namespaces=isobath audience=vault \
  token_policies="${ISOBATH_POLICIES:-isobath}" token_ttl=1h token_max_ttl=24h
