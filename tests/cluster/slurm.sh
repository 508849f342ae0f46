#!/bin/sh
# Starts a SLURM of this machine alone, on loopback, for tests: munged, slurmctld, and slurmd for two
# nodes. Needs Debian's packages slurm-wlm and munge, and root.
#
#   slurm.sh start DIRECTORY [CPUS [MEGABYTES]]   everything lies in the directory; prints SLURM_CONF
#   slurm.sh stop DIRECTORY                       ends what it started there, jobs included
#
# CPUS and MEGABYTES are what each node has to give; SLURM does not hold jobs to them here.
set -eu

command=$1
top=$2
cpus=${3:-1}
megabytes=${4:-2048}
first_port=${SLURM_FIRST_PORT:-46817}
names="node1 node2"

ended() {
    for name in slurmd-node1 slurmd-node2 slurmctld munged; do
        [ -s "$top/$name.pid" ] || continue
        pid=$(cat "$top/$name.pid")
        kill "$pid" 2>/dev/null || true
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.5
        done
        kill -9 "$pid" 2>/dev/null || true
        rm -f "$top/$name.pid"
    done
}

if [ "$command" = stop ]; then
    if [ -s "$top/slurmctld.pid" ]; then
        SLURM_CONF=$top/slurm.conf timeout 20 scancel --full --quiet --user root || true
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            [ -n "$(SLURM_CONF=$top/slurm.conf timeout 20 squeue --noheader)" ] || break
            sleep 0.5
        done
    fi
    ended
    exit 0
fi

mkdir -p "$top/state" "$top/spool"
chmod 755 "$top"
host=$(hostname)

# Whoever has the key is believed to be whom it says: it is of this start alone.
mkdir -p -m 755 "$top/munge"
head -c 1024 /dev/urandom >"$top/munge/key"
chmod 600 "$top/munge/key"

{
    echo "ClusterName=test"
    echo "SlurmctldHost=$host(127.0.0.1)"
    echo "SlurmctldPort=$first_port"
    echo "SlurmUser=root"
    echo "SlurmdUser=root"
    echo "AuthType=auth/munge"
    echo "AuthInfo=socket=$top/munge/socket"
    echo "CredType=cred/munge"
    echo "StateSaveLocation=$top/state"
    echo "SlurmdSpoolDir=$top/spool/%n"
    echo "SlurmctldPidFile=$top/slurmctld.pid"
    echo "SlurmdPidFile=$top/slurmd-%n.pid"
    echo "SlurmctldLogFile=$top/slurmctld.log"
    echo "SlurmdLogFile=$top/slurmd-%n.log"
    echo "ProctrackType=proctrack/linuxproc"
    echo "TaskPlugin=task/none"
    echo "JobAcctGatherType=jobacct_gather/none"
    echo "SelectType=select/cons_tres"
    echo "SelectTypeParameters=CR_Core_Memory"
    echo "MpiDefault=none"
    echo "SwitchType=switch/none"
    echo "ReturnToService=2"
    echo "KillWait=10"
    echo "SchedulerParameters=sched_interval=1,bf_interval=1"
    port=$first_port
    for name in $names; do
        port=$((port + 1))
        echo "NodeName=$name NodeHostname=$host NodeAddr=127.0.0.1 Port=$port" \
            "CPUs=$cpus RealMemory=$megabytes State=UNKNOWN"
    done
    echo "PartitionName=short Nodes=node1,node2 Default=YES MaxTime=01:00:00 State=UP"
} >"$top/slurm.conf"
echo "CgroupPlugin=disabled" >"$top/cgroup.conf"

trap ended EXIT
munged --foreground --force --socket="$top/munge/socket" --key-file="$top/munge/key" \
    --pid-file="$top/munged.pid" --log-file="$top/munged.log" \
    --seed-file="$top/munge/seed" >"$top/munged.out" 2>&1 &
export SLURM_CONF="$top/slurm.conf"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -S "$top/munge/socket" ] && break
    sleep 0.2
done
slurmctld -f "$top/slurm.conf"
for name in $names; do
    slurmd -f "$top/slurm.conf" -N "$name"
done
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    if [ "$(timeout 10 sinfo --noheader --format=%T --Node 2>/dev/null | sort -u)" = idle ]; then
        trap - EXIT
        echo "$top/slurm.conf"
        exit 0
    fi
    sleep 0.5
done
echo "the nodes of SLURM are not up:" >&2
timeout 10 sinfo >&2 || true
tail -n 20 "$top"/*.log >&2
exit 1
