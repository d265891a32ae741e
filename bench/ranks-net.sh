#!/bin/sh
# Two ranks in network namespaces of their own, with delay and loss between them, and then with the link cut. Where the kernel
# has no netem, tbf makes the link narrow, which delays, and iptables loses packets. It needs root (CAP_NET_ADMIN), ip, tc, iptables there, and the environment of `go run ./tensor/libtorch env -dist`. Run it in the module's root.
set -eu
tmp=$(mktemp -d)
link=gr$$ # interfaces have short names
clean() {
	ip netns del gotab-a 2>/dev/null || true
	ip netns del gotab-b 2>/dev/null || true
	rm -rf "$tmp"
}
trap clean EXIT INT TERM
go test -c -o "$tmp/dist.test" ./tensor/dist
ip netns add gotab-a
ip netns add gotab-b
ip link add "${link}a" netns gotab-a type veth peer name "${link}b" netns gotab-b
for side in a b; do
	n=1
	[ $side = a ] || n=2
	ip -n gotab-$side addr add 10.99.0.$n/24 dev "$link$side"
	ip -n gotab-$side link set "$link$side" up
	ip -n gotab-$side link set lo up
done

# rank TASK SIDE RANK: starts one rank.
rank() {
	ip netns exec "gotab-$2" env GOTAB_DIST_TASK="$1" GOTAB_DIST_CHECKPOINT="$tmp/$1.ckpt" RANK="$3" WORLD_SIZE=2 \
		MASTER_ADDR=10.99.0.1 MASTER_PORT=29500 "$tmp/dist.test" >"$tmp/$3.txt" 2>&1
}

shape() {
	for side in a b; do
		ip netns exec gotab-$side tc qdisc replace dev "$link$side" root netem "$@" || return 1
	done
}

set -- "delay 5ms" "delay 20ms 10ms loss 1%" "loss 5%"
if ! shape delay 1ms 2>/dev/null; then
	echo "this kernel has no netem: tbf and iptables instead"
	# shape rate MBIT loss PERCENT: a link of so many Mbit/s (0: as it is) that loses so many packets of a hundred.
	shape() {
		for side in a b; do
			net="ip netns exec gotab-$side"
			$net tc qdisc del dev "$link$side" root 2>/dev/null || true
			[ "$2" = 0 ] || $net tc qdisc add dev "$link$side" root tbf rate "$2mbit" burst 64kb latency 50ms || return 1
			$net iptables -F INPUT
			[ "$4" = 0 ] || $net iptables -A INPUT -m statistic --mode random --probability "0.0$4" -j DROP || return 1
		done
	}
	set -- "rate 0 loss 0" "rate 100 loss 0" "rate 0 loss 1" "rate 50 loss 1" "rate 0 loss 5"
fi
for how in "$@"; do
	# shellcheck disable=SC2086 # words of tc
	shape $how
	for task in calls train; do
		rank $task b 1 & other=$!
		if rank $task a 0 && wait $other; then
			echo "$how, $task: fine; $(tail -n 1 "$tmp/0.txt" | cut -c 1-16)"
		else
			echo "$how, $task: FAILED"
			cat "$tmp"/[01].txt
			exit 1
		fi
	done
done

# shellcheck disable=SC2086
shape ${1}
rank cut b 1 & b=$!
rank cut a 0 & a=$!
while kill -0 $a 2>/dev/null && ! grep -q "call 200" "$tmp/0.txt"; do sleep 0.1; done
ip -n gotab-b link set "${link}b" down
began=$(date +%s)
wait $a || true
echo "link cut, rank 0 after $(($(date +%s) - began)) s: $(tail -n 1 "$tmp/0.txt")"
wait $b || true
echo "link cut, rank 1 after $(($(date +%s) - began)) s: $(tail -n 1 "$tmp/1.txt")"
