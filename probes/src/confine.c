/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine: see confine.h. Landlock's constants are given here by number (Documentation/userspace-api/landlock.rst), since the
 * headers of older systems know fewer of them than the kernel that it runs on.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int confine_rights(void)
{
        if (prctl(PR_SET_NO_NEW_PRIVS, 1ul, 0ul, 0ul, 0ul) < 0)
                return -errno;
        return prctl(PR_SET_DUMPABLE, 0ul, 0ul, 0ul, 0ul) < 0 ? -errno : 0;
}

int confine_time(unsigned int seconds)
{
        const struct sigaction ends = {.sa_handler = SIG_DFL};
        sigset_t one;

        sigemptyset(&one);
        sigaddset(&one, SIGALRM);
        if (sigaction(SIGALRM, &ends, NULL) < 0 || sigprocmask(SIG_UNBLOCK, &one, NULL) < 0)
                return -errno;
        alarm(seconds);
        return 0;
}

/* ---- Landlock ----------------------------------------------------------------------------------------------- */

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define LANDLOCK_VERSION_FLAG 1u
#define LANDLOCK_RULE_BELOW 1
#define FS_EXECUTE (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_REMOVE_AND_MAKE (0x1ffull << 4) /* REMOVE_DIR to MAKE_SYM */
#define FS_REFER (1ull << 13)              /* version 2 */
#define FS_TRUNCATE (1ull << 14)           /* version 3 */
#define NET_TCP 3ull                       /* version 4 */
#define FS_IOCTL_DEVICE (1ull << 15)       /* version 5 */
#define SCOPES 3ull                        /* version 6: abstract sockets, signals */

struct ruleset {
        uint64_t files, net, scoped;
};

struct below {
        uint64_t allowed;
        int32_t fd;
} __attribute__((packed));

static size_t ruleset_size(long version)
{
        if (version >= 6)
                return sizeof(struct ruleset);
        return version >= 4 ? offsetof(struct ruleset, scoped) : offsetof(struct ruleset, net);
}

/* A rule for something that isn't a directory may only speak of what can be done with a file. */
static int allow_below(int rules, const char *path, uint64_t files)
{
        struct below rule = {.allowed = files & ~(FS_EXECUTE | FS_IOCTL_DEVICE)};
        struct stat about;
        int r = 0;

        rule.fd = open(path, O_PATH | O_CLOEXEC);
        if (rule.fd < 0)
                return errno == ENOENT ? 0 : -errno;
        if (fstat(rule.fd, &about) < 0)
                r = -errno;
        else if (!S_ISDIR(about.st_mode))
                rule.allowed &= FS_WRITE_FILE | FS_TRUNCATE;
        if (r == 0 && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_BELOW, &rule, 0) < 0)
                r = -errno;
        close(rule.fd);
        return r;
}

int confine_files(const char *const *paths, size_t n)
{
        struct ruleset wanted = {.files = FS_EXECUTE | FS_WRITE_FILE | FS_REMOVE_AND_MAKE};
        long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_FLAG);
        int rules, r = 0;

        if (version < 0)
                return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
        if (version >= 2)
                wanted.files |= FS_REFER;
        if (version >= 3)
                wanted.files |= FS_TRUNCATE;
        if (version >= 4)
                wanted.net = NET_TCP;
        if (version >= 5)
                wanted.files |= FS_IOCTL_DEVICE;
        if (version >= 6)
                wanted.scoped = SCOPES;

        rules = (int)syscall(SYS_landlock_create_ruleset, &wanted, ruleset_size(version), 0);
        if (rules < 0)
                return -errno;
        for (size_t i = 0; i < n && r == 0; i++)
                r = allow_below(rules, paths[i], wanted.files);
        if (r == 0 && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
                r = -errno;
        close(rules);
        return r < 0 ? r : (int)version;
}

/* ---- seccomp ------------------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

/* clang-format off */
static const uint16_t allowed[] = {
        /* descriptors and files */
        SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_lseek, SYS_close,
        SYS_close_range, SYS_dup, SYS_dup3, SYS_fcntl, SYS_pipe2, SYS_splice, SYS_tee, SYS_openat, SYS_fstat, SYS_newfstatat,
        SYS_statx, SYS_readlinkat, SYS_faccessat, SYS_faccessat2, SYS_getdents64, SYS_getcwd, SYS_ioctl, SYS_ppoll, SYS_fsync,
        SYS_fdatasync, SYS_ftruncate, SYS_flock, SYS_fchmod, SYS_mkdirat, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_fstatfs,
        /* memory */
        SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_brk,
        /* itself: time, identity, signals, children (clone is checked below) */
        SYS_clock_gettime, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_getrandom, SYS_getpid, SYS_getppid,
        SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_uname, SYS_sysinfo, SYS_getrlimit, SYS_setrlimit,
        SYS_prlimit64, SYS_getrusage, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_setitimer,
        SYS_futex, SYS_set_robust_list, SYS_rseq, SYS_set_tid_address, SYS_sched_yield, SYS_sched_getaffinity,
        SYS_wait4, SYS_kill, SYS_tgkill, SYS_exit, SYS_exit_group, SYS_restart_syscall,
        /* Unix sockets; which family is checked below */
        SYS_connect, SYS_sendto, SYS_sendmsg, SYS_recvfrom, SYS_recvmsg, SYS_shutdown, SYS_setsockopt, SYS_getsockopt,
#if defined(__x86_64__)
        SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_poll, SYS_pipe, SYS_dup2, SYS_rename, SYS_unlink, SYS_mkdir,
        SYS_fork, SYS_vfork, SYS_alarm, SYS_arch_prctl, SYS_time,
#endif
};
/* clang-format on */

#define ALLOWED_COUNT (sizeof allowed / sizeof *allowed)
#define FIXED_COUNT 14 /* instructions around the table */
#define CLONE_NAMESPACES 0x7e020000u /* CLONE_NEWNS, CLONE_NEWCGROUP to CLONE_NEWNET */

_Static_assert(2 * ALLOWED_COUNT + FIXED_COUNT < BPF_MAXINSNS, "the filter is too long for the kernel");

static struct sock_filter load(uint32_t offset)
{
        return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset);
}

static struct sock_filter unless_equal(uint32_t value, uint8_t skipped)
{
        return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped);
}

static struct sock_filter answer(uint32_t value)
{
        return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value);
}

int confine_calls(void)
{
#if !defined(THIS_ARCH)
        return -ENOSYS;
#else
        struct sock_filter code[2 * ALLOWED_COUNT + FIXED_COUNT];
        struct sock_fprog program = {.filter = code};
        unsigned short n = 0;

        code[n++] = load(offsetof(struct seccomp_data, arch));
        code[n++] = unless_equal(THIS_ARCH, 1);
        code[n++] = load(offsetof(struct seccomp_data, nr));
        /* another architecture's number: the value in the accumulator is its arch, which is no call of ours */
        for (size_t i = 0; i < ALLOWED_COUNT; i++) {
                code[n++] = unless_equal(allowed[i], 1);
                code[n++] = answer(SECCOMP_RET_ALLOW);
        }
        code[n++] = unless_equal(SYS_clone, 3);
        code[n++] = load(offsetof(struct seccomp_data, args[0]));
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NAMESPACES, 7, 0);
        code[n++] = answer(SECCOMP_RET_ALLOW);
        code[n++] = unless_equal(SYS_socket, 3);
        code[n++] = load(offsetof(struct seccomp_data, args[0]));
        code[n++] = unless_equal(AF_UNIX, 1);
        code[n++] = answer(SECCOMP_RET_ALLOW);
        code[n++] = unless_equal(SYS_clone3, 1);
        code[n++] = answer(SECCOMP_RET_ERRNO | ENOSYS); /* its flags are out of a filter's sight: libc takes clone then */
        code[n++] = answer(SECCOMP_RET_ERRNO | EPERM);
        program.len = n;
        return prctl(PR_SET_SECCOMP, (unsigned long)SECCOMP_MODE_FILTER, &program, 0ul, 0ul) < 0 ? -errno : 0;
#endif
}
