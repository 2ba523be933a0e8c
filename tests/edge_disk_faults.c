/* Loaded before the C library: fails calls that change a file whose name holds FAULTS_NAME, when it is told to. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long calls, first = -1, last = -1, unsynced;
static int error_number = EIO;
static unsigned long odds, state = 1;

/* The calls numbered `from` to `to` from now on fail with `error`; so does, at random, one in `one_in` (0: none). */
void faults_arm(long from, long to, int error, unsigned long one_in, unsigned long seed) {
  calls = 0, first = from, last = to, error_number = error, odds = one_in, state = seed | 1;
}

long faults_calls(void) { return calls; }

/* Writes to the log since it was last synced: what a power cut may take. */
long faults_unsynced(void) { return unsynced; }

static int is_log(int descriptor) {
  char link[64], name[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, name, sizeof name - 1);
  return length > 4 && !memcmp(name + length - 4, "-wal", 4);
}

static int fails(int descriptor) {
  char link[64], name[PATH_MAX];
  const char *ours = getenv("FAULTS_NAME");
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, name, sizeof name - 1);
  if (!ours || length < 0) return 0;
  name[length] = 0;
  if (!strstr(name, ours)) return 0;
  long call = calls++;
  state = state * 6364136223846793005UL + 1442695040888963407UL;
  int unlucky = odds && (state >> 33) % odds == 0;
  return unlucky || (call >= first && call <= last);
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t pwrite64(int descriptor, const void *from, size_t bytes, off64_t at) {
  REAL(pwrite64);
  unsynced += is_log(descriptor);
  if (!fails(descriptor)) return real(descriptor, from, bytes, at);
  real(descriptor, from, bytes / 2, at); /* torn: half of it is there */
  errno = error_number;
  return -1;
}

ssize_t pwrite(int descriptor, const void *from, size_t bytes, off_t at) {
  return pwrite64(descriptor, from, bytes, at);
}

ssize_t write(int descriptor, const void *from, size_t bytes) {
  REAL(write);
  if (!fails(descriptor)) return real(descriptor, from, bytes);
  errno = error_number;
  return -1;
}

#define FAILING(name, parameters, arguments)   \
  int name parameters {                        \
    REAL(name);                                \
    if (!fails(descriptor)) return real arguments; \
    errno = error_number;                      \
    return -1;                                 \
  }

#define SYNCING(name)                          \
  int name(int descriptor) {                   \
    REAL(name);                                \
    if (!fails(descriptor)) {                  \
      if (is_log(descriptor)) unsynced = 0;    \
      return real(descriptor);                 \
    }                                          \
    errno = error_number;                      \
    return -1;                                 \
  }

SYNCING(fsync)
SYNCING(fdatasync)
FAILING(ftruncate64, (int descriptor, off64_t length), (descriptor, length))
FAILING(ftruncate, (int descriptor, off_t length), (descriptor, length))
