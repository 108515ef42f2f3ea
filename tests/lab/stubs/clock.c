/* A wall clock that somebody sets: preloaded by /etc/ld.so.preload of a node.

   gcc -shared -fPIC -O2 -Wall -Wextra -o libclock.so clock.c

   The seconds it is ahead stand in /etc/clusterctl-lab/clock_ahead, twenty characters that are
   rewritten in place.  The file is mapped, so that a process behind a seccomp filter reads it too.
   Only the wall clock: a kernel's monotonic one is never set. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 20 };
static const char *ahead;

__attribute__((constructor)) static void map(void) {
  int file = open("/etc/clusterctl-lab/clock_ahead", O_RDONLY | O_CLOEXEC);
  void *found = file < 0 ? MAP_FAILED : mmap(NULL, SIZE, PROT_READ, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  if (found != MAP_FAILED) ahead = found;
}

static long seconds(void) {
  char text[SIZE + 1] = "0";
  if (ahead) memcpy(text, ahead, SIZE);
  return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *out) {
  long failed = syscall(SYS_clock_gettime, clock, out);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    out->tv_sec += seconds();
  return (int)failed;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}
