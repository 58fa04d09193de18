// What somebody would try who has taken over a jailed process, one attempt per run: exit code 0 says
// that it went well for them. Compiled and started by jail.test.ts.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int outcome(long result) {
  return result < 0 ? 1 : 0;
}

static int connect_to(const char *path, int is_abstract) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  memcpy(address.sun_path + is_abstract, path, length);
  int end = socket(AF_UNIX, SOCK_STREAM, 0);
  if (end < 0) return 1;
  socklen_t size = sizeof(sa_family_t) + is_abstract + length + (is_abstract ? 0 : 1);
  return outcome(connect(end, (struct sockaddr *)&address, size));
}

static int call(const char *what, const char *argument) {
#define IS(name) (strcmp(what, name) == 0)
  if (IS("nothing")) return 0;
  if (IS("read")) return outcome(open(argument, O_RDONLY));
  if (IS("write")) return outcome(open(argument, O_WRONLY));
  if (IS("create")) return outcome(open(argument, O_WRONLY | O_CREAT, 0600));
  if (IS("list")) return outcome(open(argument, O_RDONLY | O_DIRECTORY));
  if (IS("unix")) return connect_to(argument, 0);
  if (IS("abstract")) return connect_to(argument, 1);
  if (IS("inet")) return outcome(socket(AF_INET, SOCK_STREAM, 0));
  if (IS("inet6")) return outcome(socket(AF_INET6, SOCK_STREAM, 0));
  if (IS("packet")) return outcome(socket(AF_PACKET, SOCK_RAW, 0));
  if (IS("netlink")) return outcome(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  if (IS("vsock")) return outcome(socket(AF_VSOCK, SOCK_STREAM, 0));
  if (IS("kill")) return outcome(syscall(SYS_kill, atoi(argument), 0));
  if (IS("tgkill")) return outcome(syscall(SYS_tgkill, atoi(argument), atoi(argument), 0));
  if (IS("ptrace")) return outcome(syscall(SYS_ptrace, 16, atoi(argument), 0, 0));
  if (IS("pidfd")) return outcome(syscall(SYS_pidfd_open, atoi(argument), 0));
  if (IS("peek")) return outcome(syscall(SYS_process_vm_readv, atoi(argument), 0, 0, 0, 0, 0));
  if (IS("io_uring")) return outcome(syscall(SYS_io_uring_setup, 1, calloc(1, 512)));
  if (IS("mount")) return outcome(mount("proc", "/tmp", "proc", 0, 0));
  if (IS("remount")) return outcome(mount("", "/", "", MS_REMOUNT | MS_BIND, 0));
  if (IS("umount")) return outcome(umount2("/proc", MNT_DETACH));
  if (IS("chroot")) return outcome(chroot("/tmp"));
  if (IS("pivot")) return outcome(syscall(SYS_pivot_root, "/tmp", "/tmp"));
  if (IS("unshare")) return outcome(unshare(CLONE_NEWUSER));
  if (IS("clone")) return outcome(syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
  if (IS("clone3")) return outcome(syscall(SYS_clone3, calloc(1, 88), 88));
  if (IS("setns")) return outcome(syscall(SYS_setns, open("/proc/self/ns/net", O_RDONLY), 0));
  if (IS("root")) return outcome(syscall(SYS_setresuid, 0, 0, 0));
  if (IS("group")) return outcome(syscall(SYS_setresgid, 0, 0, 0));
  if (IS("keyctl")) return outcome(syscall(SYS_keyctl, 0, -3, 1));
  if (IS("add_key")) return outcome(syscall(SYS_add_key, "user", "x", "y", 1, -3));
  if (IS("bpf")) return outcome(syscall(SYS_bpf, 0, calloc(1, 128), 128));
  if (IS("userfaultfd")) return outcome(syscall(SYS_userfaultfd, 0));
  if (IS("perf")) return outcome(syscall(SYS_perf_event_open, calloc(1, 128), 0, -1, -1, 0));
  if (IS("handle")) return outcome(syscall(SYS_open_by_handle_at, 0, calloc(1, 128), 0));
  if (IS("module")) return outcome(syscall(SYS_init_module, "", 0, ""));
  if (IS("kexec")) return outcome(syscall(SYS_kexec_load, 0, 0, 0, 0));
  if (IS("mknod")) return outcome(mknod("/tmp/disk", S_IFBLK | 0600, 8 << 8));
  if (IS("hostname")) return outcome(sethostname("evil", 4));
  if (IS("tiocsti")) return outcome(ioctl(0, TIOCSTI, "x"));
  if (IS("newer")) return outcome(syscall(4000));
  if (IS("fill")) {
    char *block = calloc(1, 1 << 20);
    int file = open("/tmp/large", O_WRONLY | O_CREAT, 0600);
    for (int megabyte = 0; megabyte < 64; megabyte++) {
      if (write(file, block, 1 << 20) != 1 << 20) return 1;
    }
    return 0;
  }
  if (IS("memory")) {
    size_t size = (size_t)atoi(argument) << 20;
    char *bytes = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) return 1;
    memset(bytes, 1, size);
    return 0;
  }
  if (IS("processes")) {
    for (int made = 0; made < 1000; made++) {
      long child = syscall(SYS_clone, 17, 0, 0, 0, 0);
      if (child < 0) return 1;
      if (child == 0) for (;;) pause();
    }
    return 0;
  }
  return 2;
}

int main(int count, char **words) {
  return call(count > 1 ? words[1] : "", count > 2 ? words[2] : "");
}
