#!/bin/sh
# Creates the certificates for the download tests: an authority, and a localhost server certificate signed by it.
# The keys are public on purpose.
set -e
cd "$(dirname "$0")"
days=36500
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days $days -subj "/CN=Lucida test authority" \
    -addext basicConstraints=critical,CA:TRUE -keyout authority.key -out authority.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' > server.ext
openssl x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days $days -extfile server.ext \
    -out server.pem
rm authority.key server.csr server.ext authority.srl
