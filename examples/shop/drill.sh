#!/bin/sh
# Breaks payment in three ways while somebody shops, and shows what shoppers see of it: nothing but orders that are paid later.
#
#   examples/shop/drill.sh [FOLDER [URL [ADMIN_URL]]]
#
# FOLDER is the one that the host at URL serves; its payment.toml is changed, and put back in the end.
set -eu

folder=${1:-$(dirname "$0")}
url=${2:-http://127.0.0.1:8080}
admin=${3:-http://127.0.0.1:8081}
manifest=$folder/payment.toml
work=$(mktemp -d)
cp "$manifest" "$work/payment.toml"
shopper=

finish() {
    [ -z "$shopper" ] || kill "$shopper" 2>/dev/null || true
    cp "$work/payment.toml" "$manifest"
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
    echo "drill: $1" >&2
    exit 1
}

# The status of an answer, and its body in $work/answer.
ask() {
    curl -s --max-time 20 -o "$work/answer" -w '%{http_code}' "$@" || true
}

# expect STATUS WORDS CURL_ARGUMENT…
expect() {
    wanted=$1 words=$2
    shift 2
    status=$(ask "$@")
    [ "$status" = "$wanted" ] || fail "$* was answered with $status instead of $wanted: $(cat "$work/answer")"
    grep -q "$words" "$work/answer" || fail "$* did not say \"$words\": $(cat "$work/answer")"
    printf '  %-50s %s  %s\n' "$*" "$status" "$(grep -m 1 "$words" "$work/answer")"
}

order() {
    expect "$1" "$2" -X POST "$url/orders?sku=bread"
}

revision() {
    curl -s --max-time 20 "$admin/v1/services" | tr '{' '\n' | sed -n 's/.*"name":"payment".*"revision":\([0-9]*\).*/\1/p'
}

# Waits until a command succeeds.
await() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || fail "gave up waiting for: $*"
        sleep 0.05
    done
}

is_past() {
    [ "$(revision)" -gt "$1" ]
}

breaker_is() {
    curl -s --max-time 20 "$admin/v1/services/payment" | grep -q "\"breaker\":\"$1\""
}

# Has payment behave so from now on: a hot redeploy, as any change of a manifest.
payment() {
    before=$(revision)
    sed "s/^BEHAVIOUR = .*/BEHAVIOUR = \"$1\"/" "$work/payment.toml" >"$work/new.toml"
    mv "$work/new.toml" "$manifest"
    await is_past "$before"
}

is_paid() {
    [ "$(ask -X POST "$url/orders?sku=bread")" = 201 ]
}

# Waits until an order is paid: on a busy machine one may take longer than payment may.
paid() {
    await is_paid
    printf '  %-50s %s  %s\n' "-X POST $url/orders?sku=bread" 201 "$(cat "$work/answer")"
}

unaffected() {
    expect 200 "A loaf of bread, 3.50: [0-9]* left" "$url/"
    expect 200 "honey" "$url/catalog"
}

echo 'All is well:'
unaffected
paid

# Somebody shops all the time.
(while :; do curl -s --max-time 20 -o /dev/null -w "%{http_code}\n" -X POST "$url/orders?sku=honey" >>"$work/statuses"; done) &
shopper=$!

for way in trap hang slow; do
    echo "Payment is made to $way:"
    payment "$way"
    order 202 "to be paid later"
    await breaker_is open
    order 202 "to be paid later"
    unaffected
    echo "Payment is mended:"
    payment well
    await breaker_is closed
    paid
done

kill "$shopper"
wait "$shopper" 2>/dev/null || true
shopper=
echo 'What the one who shopped all the time was answered:'
sort "$work/statuses" | uniq -c
if grep -qv '^20[12]$' "$work/statuses"; then
    fail 'an order was neither taken nor taken to be paid later'
fi
