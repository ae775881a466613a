#!/bin/bash
# Starts a private SLURM in DIR for test_slurm.py: a munged, a slurmctld and a slurmd for every node, all owned by the caller,
# over the loopback, without systemd, cgroups and accounting.   slurm_up.sh DIR NODES CPUS
# Prints the environment of its jobs as NAME=value lines. On failure: says why, leaves no process, exits with 1.
# What a test wants to know of SLURM's pace: cred_expire lets a requeued job start after 6 s instead of 120.
set -eu
umask 022
PATH=$PATH:/usr/sbin:/sbin
dir=$1 nodes=$2 cpus=$3
user=$(id -un) host=$(uname -n)
mkdir -p "$dir"/{etc,log,run,munge,state,spool,tmp}
chmod 755 "$dir" # munged refuses sockets in directories that others may write to
chmod 711 "$dir/munge"
chmod 700 "$dir/state"

up=no
trap '[ $up = yes ] || { tail -n 5 "$dir"/log/*.log >&2 || :; bash "$(dirname "$0")/slurm_down.sh" "$dir" || :; }' EXIT
trap 'exit 1' HUP INT TERM

# Where the loopback is the only interface, SLURM finds addresses only with IPv6; daemons stay on the loopback only where the
# host's own name resolves to 127.0.0.1. Elsewhere munge guards the ports.
family=ahostsv4 bind=''
getent $family 127.0.0.1 >/dev/null 2>&1 || family=ahosts bind=EnableIPv6
if [ "$(getent $family "$host" 2>/dev/null | awk 'NR == 1 { print $1 }')" = 127.0.0.1 ]; then
  bind=$bind${bind:+,}NoCtldInAddrAny,NoInAddrAny
fi
host=${host%%.*}

taken() {
  local p
  for ((p = $1; p <= $1 + nodes; p++)); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; then return 0; fi
  done
  return 1
}
port=$((20000 + $$ % 100 * 100))
while taken $port; do port=$((port + 100)); done

cat >"$dir/etc/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
${bind:+CommunicationParameters=$bind}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
MailProg=/bin/true
TmpFS=$dir/tmp/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=15
MinJobAge=3600
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=$cpus Sockets=$cpus CoresPerSocket=1 ThreadsPerCore=1 RealMemory=1000000
PartitionName=test Nodes=ALL Default=YES DefaultTime=10 MaxTime=INFINITE State=UP
CONF
[ "$nodes" -gt 1 ] || sed -i "s/n\[1-1\]/n1/; s/Port=\[[0-9]*-\([0-9]*\)\]/Port=\1/" "$dir/etc/slurm.conf"
export SLURM_CONF=$dir/etc/slurm.conf

(umask 077 && head -c 1024 /dev/urandom >"$dir/munge/key")
munged --origin=127.0.0.1 --socket="$dir/munge/socket" --key-file="$dir/munge/key" --seed-file="$dir/munge/seed" \
  --pid-file="$dir/run/munged.pid" --log-file="$dir/log/munged.log" >&2
slurmctld >&2
for ((n = 1; n <= nodes; n++)); do
  mkdir -p "$dir/spool/n$n"
  mkdir -m 1777 "$dir/tmp/n$n"
  slurmd -N "n$n" >&2
done
SECONDS=0
until [ "$(timeout 5 sinfo -h -N -t idle -o %N 2>/dev/null | wc -l)" -eq "$nodes" ]; do
  [ $SECONDS -lt 30 ] || { echo "the nodes are not idle after 30 s" >&2; exit 1; }
  sleep 0.1
done
up=yes
# The nodes share the machine's cores and /dev/shm: ranks must yield, stay unbound, and not share file names.
cat <<ENV
SLURM_CONF=$SLURM_CONF
OMPI_ALLOW_RUN_AS_ROOT=1
OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
OMPI_MCA_hwloc_base_binding_policy=none
OMPI_MCA_mpi_yield_when_idle=1
OMPI_MCA_shmem=posix
OMPI_MCA_odls_base_sigkill_timeout=4
OMPI_MCA_btl_tcp_if_include=lo
OMPI_MCA_btl_vader_single_copy_mechanism=none
ENV
