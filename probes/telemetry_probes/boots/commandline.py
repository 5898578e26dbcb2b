# SPDX-License-Identifier: Apache-2.0
"""The kernel's command line: whether it changed, and the words of it that tell of nobody.

What names disks, hosts, addresses, users or secrets stays on the machine: only words of a list leave it, and values
that look like a setting. The rest is counted, and a keyed hash says whether it is the same. Pure: text in, values out.
"""

from __future__ import annotations

LINE_MAX = 4096
WORDS_MAX = 64
VALUE_CHARS_MAX = 48
SAFE = frozenset(
    """
    quiet splash ro rw debug nomodeset nosmt nokaslr noapic nolapic noapictimer nox2apic nohz nohz_full isolcpus
    rcu_nocbs maxcpus nr_cpus mem memmap mitigations spectre_v2 spectre_v2_user spec_store_bypass_disable l1tf mds
    tsx tsx_async_abort mmio_stale_data retbleed srso gather_data_sampling pti nopti kpti vsyscall iommu intel_iommu
    amd_iommu iommu.strict iommu.passthrough pci pcie_aspm pcie_port_pm acpi acpi_osi acpi_enforce_resources
    acpi_backlight reboot panic panic_on_warn oops crashkernel nmi_watchdog nowatchdog softlockup_panic
    hung_task_panic watchdog_thresh rcupdate.rcu_cpu_stall_timeout loglevel ignore_loglevel earlyprintk log_buf_len
    printk.time printk.devkmsg audit selinux enforcing apparmor security lsm lockdown module.sig_enforce
    systemd.unified_cgroup_hierarchy cgroup_disable cgroup_enable cgroup_no_v1 swapaccount psi transparent_hugepage
    hugepages hugepagesz default_hugepagesz zswap.enabled zswap.compressor zswap.zpool clocksource tsc hpet idle
    intel_idle.max_cstate processor.max_cstate intel_pstate amd_pstate amd_prefcore cpufreq.default_governor
    cpuidle.governor threadirqs preempt irqaffinity numa_balancing net.ifnames biosdevname ipv6.disable console tty
    earlycon vga video fbcon i915.enable_psr i915.enable_guc i915.enable_fbc i915.modeset amdgpu.dpm amdgpu.dc
    amdgpu.ppfeaturemask amdgpu.gpu_recovery nvidia-drm.modeset nvidia_drm.modeset nouveau.modeset radeon.modeset
    nvme_core.default_ps_max_latency_us libata.force usbcore.autosuspend snd_hda_intel.power_save mem_sleep_default
    pstore.backend efi_pstore.pstore_disable ramoops.mem_size ramoops.ecc printk.always_kmsg_dump fsck.mode
    fsck.repair rootfstype rootwait rd.shell rd.systemd.show_status systemd.show_status efi noefi
    """.split()
)
_VALUE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:@_-+$!%")


def words(line: str) -> list[str]:
    """Those that may leave the machine, in their order; what comes after `--` is for init, and none of them."""
    return [word for word in _all(line) if _is_safe(word)][:WORDS_MAX]


def others(line: str) -> int:
    """How many there are beside them."""
    return len(line[:LINE_MAX].split()) - len(words(line))


def changes(before: list[str], now: list[str]) -> tuple[list[str], list[str]]:
    """The words that came, and those that went."""
    return [word for word in now if word not in before], [word for word in before if word not in now]


def _all(line: str) -> list[str]:
    found: list[str] = []
    for word in line[:LINE_MAX].split():
        if word == "--":
            break
        found.append(word)
    return found


def _is_safe(word: str) -> bool:
    name, equals, value = word.partition("=")
    if name not in SAFE:
        return False
    return not equals or (len(value) <= VALUE_CHARS_MAX and not set(value) - _VALUE)
