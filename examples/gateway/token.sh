#!/bin/sh
# An issuer of tokens in a few lines: token.sh FOLDER ISSUER AUDIENCE SUBJECT [SCOPE]
# Prints a JWT (EdDSA) that is good for an hour. Keeps its key in FOLDER/issuer.pem, and what verifies its tokens in
# FOLDER/keys.json, as an issuer's /.well-known/jwks.json has it.
set -eu
folder=$1 issuer=$2 audience=$3 subject=$4 scope=${5:-}

url64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

mkdir -p "$folder"
key=$folder/issuer.pem
if [ ! -f "$key" ]; then
    (umask 077 && openssl genpkey -algorithm ed25519 -out "$key")
    x=$(openssl pkey -in "$key" -pubout -outform DER | tail -c 32 | url64)
    printf '{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"1","x":"%s"}]}\n' "$x" >"$folder/keys.json.new"
    mv "$folder/keys.json.new" "$folder/keys.json"
fi

head=$(printf '{"alg":"EdDSA","typ":"JWT","kid":"1"}' | url64)
now=$(date +%s)
claims=$(printf '{"iss":"%s","aud":"%s","sub":"%s","scope":"%s","iat":%d,"exp":%d}' \
    "$issuer" "$audience" "$subject" "$scope" "$now" $((now + 3600)) | url64)
unsigned=$(mktemp)
trap 'rm -f "$unsigned"' EXIT
printf '%s.%s' "$head" "$claims" >"$unsigned"
signature=$(openssl pkeyutl -sign -rawin -inkey "$key" -in "$unsigned" | url64)
printf '%s.%s.%s\n' "$head" "$claims" "$signature"
