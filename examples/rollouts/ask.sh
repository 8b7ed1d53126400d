#!/bin/sh
# Asks all the time, and says of every hundred requests how many were answered with which status.
#
# usage: ask.sh [URL]
url=${1:-http://127.0.0.1:8080/}
while :; do
    statuses=$(curl -s --max-time 20 -o /dev/null -w '%{http_code}\n' "$url?[1-100]")
    echo "$statuses" | sort | uniq -c | tr '\n' ' '
    echo
done
