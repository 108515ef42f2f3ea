# What nightly.yml asks, as an operator would put it in one script for pdsh: the cheapest plain
# commands that show the same information, one grep for many files.  Read by fanout.py.
# Set beside our questionnaire, this one asks less: no deadline for any tool, no limit on what one
# prints, no end mark and no count that would show a cut answer, no file system asked in a process
# of its own, no NVML and no adjtimex(2) (no plain command reads them), no flood of like kernel
# lines folded, no links followed to library versions; and nobody parses or judges what it prints.

echo '== versions'
uname -srvm
cat /etc/os-release /proc/cmdline
grep -s . /proc/driver/nvidia/version /sys/class/dmi/id/bios_* /sys/class/dmi/id/board_name \
  /sys/class/dmi/id/product_name /sys/class/dmi/id/sys_vendor \
  /sys/devices/system/clocksource/clocksource0/current_clocksource \
  /sys/devices/system/cpu/smt/control /sys/kernel/mm/transparent_hugepage/enabled \
  /sys/kernel/mm/transparent_hugepage/defrag /sys/class/infiniband/*/fw_ver \
  /sys/module/nvidia/version /sys/module/mlx5_core/version /sys/module/nvme/version \
  /sys/module/ib_core/srcversion /sys/module/lustre/version
sysctl -e kernel.numa_balancing kernel.pid_max kernel.panic kernel.yama.ptrace_scope \
  vm.zone_reclaim_mode vm.swappiness vm.overcommit_memory vm.max_map_count vm.nr_hugepages \
  vm.min_free_kbytes vm.dirty_ratio vm.dirty_background_ratio fs.nr_open net.core.rmem_max \
  net.core.wmem_max net.core.netdev_max_backlog net.core.somaxconn net.ipv4.tcp_rmem \
  net.ipv4.tcp_wmem net.ipv4.tcp_congestion_control net.ipv4.tcp_mtu_probing \
  net.ipv4.ip_local_port_range net.ipv4.neigh.default.gc_thresh3 net.ipv4.conf.all.rp_filter \
  net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce

echo '== cpu'
grep -E '^(processor|model name|microcode|cpu MHz|physical id)' /proc/cpuinfo | sort | uniq -c
grep -s . /sys/devices/system/cpu/online /sys/devices/system/cpu/present \
  /sys/devices/system/node/online /proc/loadavg \
  /sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list \
  /sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count \
  /sys/devices/system/cpu/cpufreq/policy*/scaling_governor \
  /sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq

echo '== memory'
cat /proc/meminfo
grep -s . /sys/devices/system/node/node[0-7]/meminfo /sys/devices/system/edac/mc/mc*/*_count \
  /sys/devices/system/edac/mc/mc*/dimm*/dimm_*

echo '== kernel_log'
cat /proc/uptime /proc/sys/kernel/random/boot_id
{ [ -r /dev/kmsg ] && timeout 1 cat /dev/kmsg || dmesg; } |
  grep -E 'NVRM|Xid|SXid|Machine Check|EDAC|AER|nvme|mlx5|Out of memory|[Ll]ink (is )?(up|down)|I/O error|lockup|blocked for more'

echo '== clock'
command -v chronyc >/dev/null && chronyc -n -c tracking
command -v ntpq >/dev/null && ntpq -n -c rv

echo '== drives'
grep -s . /sys/class/nvme/nvme*/model /sys/class/nvme/nvme*/serial \
  /sys/class/nvme/nvme*/firmware_rev /sys/class/nvme/nvme*/state \
  /sys/block/*/device/model /sys/block/*/device/rev /sys/block/*/device/state /sys/block/*/size
for drive in /dev/nvme[0-9]; do
  [ -e "$drive" ] && command -v nvme >/dev/null && nvme smart-log -o json "$drive"
done

echo '== mounts'
cat /proc/self/mountinfo /etc/fstab
df -PB1
df -Pi

echo '== ethtool'
for device in /sys/class/net/*; do
  [ -e "$device/ifindex" ] && [ -e "$device/device" ] || continue
  grep -s . "$device"/operstate "$device"/carrier* "$device"/speed "$device"/duplex \
    "$device"/mtu "$device"/flags "$device"/statistics/*
  ethtool -i "${device##*/}"
  ethtool "${device##*/}"
  ethtool -S "${device##*/}"
  ethtool -m "${device##*/}"
done

echo '== sysfs_rdma'
grep -s . /sys/class/infiniband/*/board_id /sys/class/infiniband/*/hca_type \
  /sys/class/infiniband/*/node_guid /sys/class/infiniband/*/ports/*/state \
  /sys/class/infiniband/*/ports/*/phys_state /sys/class/infiniband/*/ports/*/rate \
  /sys/class/infiniband/*/ports/*/link_layer /sys/class/infiniband/*/ports/*/counters/* \
  /sys/class/infiniband/*/ports/*/hw_counters/*

echo '== pci'
for device in /sys/bus/pci/devices/*; do
  case $(cat "$device/class") in
    0x0300* | 0x0302* | 0x1200* | 0x0200* | 0x0207* | 0x0108*)
      grep -s . "$device"/vendor "$device"/device "$device"/class "$device"/numa_node \
        "$device"/current_link_* "$device"/max_link_* "$device"/aer_dev_*
      readlink "$device/driver" ;;
  esac
done

echo '== services'
systemctl --no-pager -p Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts show -- \
  ssh.service sshd.service chronyd.service chrony.service ntpd.service \
  systemd-timesyncd.service nvidia-fabricmanager.service nvidia-persistenced.service \
  nvidia-dcgm.service openibd.service opensm.service slurmd.service munge.service \
  kubelet.service containerd.service docker.service sssd.service autofs.service \
  rasdaemon.service irqbalance.service tuned.service &&
  systemctl --no-pager --no-legend --plain --full --state=failed list-units

echo '== nvidia_smi'
command -v nvidia-smi >/dev/null && nvidia-smi -q -x && nvidia-smi nvlink -s && nvidia-smi nvlink -e
echo '== end'
