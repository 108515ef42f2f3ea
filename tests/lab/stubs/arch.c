/* A machine of another architecture, as far as anybody asks the kernel for its name.

   gcc -shared -fPIC -O2 -Wall -Wextra -o liblabarch.so arch.c

   Preloaded by /etc/ld.so.preload of a node; the name stands in /etc/clusterctl-lab/machine. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

int uname(struct utsname *name) {
  long failed = syscall(SYS_uname, name);
  int file = failed ? -1 : open("/etc/clusterctl-lab/machine", O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    char text[sizeof name->machine] = "";
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    text[size > 0 ? size : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    if (*text) strcpy(name->machine, text);
  }
  return (int)failed;
}
