#!/usr/bin/env bash
# Trains on two hosts that are really two: network namespaces with their own addresses and names, and a switch between them.
# The cable is pulled in the middle; the job has to end and say so; and --resume has to lead to the same weights as a run
# that nobody disturbed. Needs root and `ip netns`: says that it skips where these are not to be had.
#
#   tests/two-hosts.sh target/release/lucida        built with --features mpi
set -euo pipefail

lucida=$(realpath "${1:-target/release/lucida}")
here=lucida-a-$$ there=lucida-b-$$ switch=lucida-s-$$
work=$(mktemp -d)
clean() {
    ip netns pids "$there" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    ip netns pids "$here" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    for name in "$here" "$there" "$switch"; do
        ip netns del "$name" 2>/dev/null || true
    done
    rm -rf "$work"
}
skip() {
    echo "skipped: $*"
    exit 0
}
[ "$(id -u)" = 0 ] || skip "needs root"
command -v ip >/dev/null || skip "there is no ip (iproute2)"
command -v mpirun >/dev/null || skip "there is no mpirun"
ip netns add "$here" 2>/dev/null || skip "no network namespaces here"
trap clean EXIT
ip netns add "$there"
ip netns add "$switch"
ip -n "$switch" link add bridge type bridge 2>/dev/null || skip "no bridges here"
ip -n "$switch" link set bridge up
number=0
for host in "$here" "$there"; do
    number=$((number + 1))
    ip link add veth0 netns "$host" type veth peer name port$number netns "$switch"
    ip -n "$switch" link set port$number master bridge up
    ip -n "$host" addr add 10.77.0.$number/24 dev veth0
    ip -n "$host" link set veth0 up
    ip -n "$host" link set lo up
done

# What ssh is for mpirun otherwise: the first argument is the host, the rest what to run there.
cat >"$work/agent" <<AGENT
#!/bin/sh
shift
exec ip netns exec $there unshare --uts sh -c 'hostname $there; exec sh -c "\$*"' sh "\$@"
AGENT
chmod +x "$work/agent"

# Runs a training on both hosts: its name, then more options.
train() {
    local out=$work/$1
    shift
    timeout 120 ip netns exec "$here" unshare --uts sh -c "hostname $here; exec \"\$@\"" sh \
        mpirun --allow-run-as-root --host 10.77.0.1:1,10.77.0.2:1 --bind-to none \
        --mca plm_rsh_agent "$work/agent" --mca btl tcp,self \
        --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 \
        --mca oob_tcp_keepalive_time 6 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 2 \
        -x LUCIDA_MPI_TIMEOUT=2 \
        "$lucida" train mnist --epochs 12 --batch-size 200 --validation-steps 5 --threads 1 --optimizer nesterov \
        --checkpoint-every 5 --distributed mpi --out "$out" "$@"
}

echo "undisturbed"
train whole >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
grep -E "rank [01] of 2 on lucida-[ab]-" "$work/log"

echo "the cable is pulled"
train cut >"$work/log" 2>&1 &
job=$!
until [ -s "$work/cut/checkpoint.safetensors" ]; do
    sleep 0.1
    kill -0 $job 2>/dev/null || { cat "$work/log"; echo "ended before its first checkpoint"; exit 1; }
done
pulled=$(date +%s)
ip -n "$switch" link set port2 nomaster
if wait $job; then
    echo "went on without its other half"
    exit 1
fi
took=$(($(date +%s) - pulled))
grep -h "no answer" "$work/log" || { cat "$work/log"; echo "did not say why it ended"; exit 1; }
grep -q "no answer for 2 s from rank 1 on $there" "$work/log" || { echo "did not say who was lost"; exit 1; }
echo "ended after $took s"
[ "$took" -le 30 ] || exit 1
# The other half ends by itself as well. (mpirun's daemon there waits for TCP to give up, a quarter of an hour.)
ranks_there() {
    local pid
    for pid in $(ip netns pids "$there"); do
        [ "$(realpath "/proc/$pid/exe" 2>/dev/null)" = "$lucida" ] && echo "$pid"
    done
    return 0
}
for _ in $(seq 30); do
    [ -n "$(ranks_there)" ] || break
    sleep 1
done
[ -z "$(ranks_there)" ] || { echo "the other half goes on"; exit 1; }

sleep 1
echo "the cable is back"
ip -n "$switch" link set port2 master bridge
train cut --resume >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cmp "$work/whole/last.safetensors" "$work/cut/last.safetensors"
echo "the same weights, to the bit"
