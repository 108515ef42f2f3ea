/* A libcuda.so.1 whose GPUs are memory of this process and whose kernels, those of burn.cu, are C.

   gcc -shared -fPIC -O3 -Wall -Wextra -o libcuda.so.1 cuda.c

   The state is read from $CLUSTERCTL_CUDA_STATE, else /etc/clusterctl-lab/cuda.conf, at cuInit:

     count = 2
     init = 999                 cuInit says this error
     peers = 0                  no GPU reaches another's memory (default 1)
     gpu.*.memory_mib = 96      the last line that names a key wins; gpu.3.… before gpu.*.…
     gpu.3.taken_mib = 90       another process has this much
     gpu.3.start = 46           no context: this error
     gpu.3.fails = 5 719        after five launches every call says 719 (launch failed)
     gpu.3.fails_among = 1 719  the same, in a process that sees other GPUs too
     gpu.3.hangs = 5            after five launches waiting never ends
     gpu.3.dies = 5             after five launches the process is killed
     gpu.3.slow_ms = 20         each launch takes that much longer
     gpu.3.wrong = 70000        each product has one bit wrong in this element
     gpu.3.flip = 70000         the third has, and later ones
     gpu.3.blind = 1            the integer units do not see it
     gpu.3.stuck = 1000         the memory's word of 64 bits at this place loses a bit
     gpu.3.garbles = 1          what is copied to it has one bit wrong

   A GPU's number is its uuid's end, where CUDA_VISIBLE_DEVICES names uuids, as nvml.c makes them. */

#include <ctype.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;

#define GPUS 64
#define LINES 512
#define TEXT 120
enum { OK = 0, INVALID = 1, NO_MEMORY = 2, NO_DEVICE = 100, NOT_FOUND = 500 };
enum { ROWS = 128, COLUMNS = 256 };

static char keys[LINES][TEXT], values[LINES][TEXT];
static int lines, visible[GPUS], seen;
typedef struct { int gpu; long launches; size_t used; } context_t;
static context_t *current;
static struct { void *at; size_t size; context_t *owner; } blocks[4096];
static int block_count;

static char *trimmed(char *text) {
  while (isspace((unsigned char)*text)) text++;
  for (char *end = text + strlen(text); end > text && isspace((unsigned char)end[-1]);) *--end = 0;
  return text;
}

static void read_state(void) {
  const char *path = getenv("CLUSTERCTL_CUDA_STATE");
  FILE *file = fopen(path && *path ? path : "/etc/clusterctl-lab/cuda.conf", "r");
  char line[2 * TEXT], *equals;
  lines = 0;
  while (file && lines < LINES && fgets(line, sizeof line, file))
    if ((equals = strchr(line, '=')) && *trimmed(line) != '#') {
      *equals = 0;
      snprintf(keys[lines], TEXT, "%s", trimmed(line));
      snprintf(values[lines++], TEXT, "%s", trimmed(equals + 1));
    }
  if (file) fclose(file);
}

static const char *stated(const char *key) {
  for (int i = lines; i-- > 0;)
    if (!strcmp(keys[i], key)) return values[i];
  return NULL;
}

static const char *text_of(int gpu, const char *name) {
  char key[TEXT];
  snprintf(key, sizeof key, "gpu.%d.%s", gpu, name);
  const char *found = stated(key);
  snprintf(key, sizeof key, "gpu.*.%s", name);
  return found ? found : stated(key);
}

static long number_of(int gpu, const char *name, long otherwise) {
  const char *found = text_of(gpu, name);
  return found ? strtol(found, NULL, 0) : otherwise;
}

/* The error that this GPU says to everything by now. */
static int broken(void) {
  long after, code;
  if (!current) return 201;
  const char *fails = text_of(current->gpu, seen > 1 ? "fails_among" : "fails");
  return fails && sscanf(fails, "%ld %ld", &after, &code) == 2 && current->launches > after ? (int)code
                                                                                           : OK;
}

/* ------------------------------------------------------------------ devices */

static void look(void) {
  const char *wanted = getenv("CUDA_VISIBLE_DEVICES");
  const char *count = stated("count");
  seen = 0;
  if (!wanted) {
    for (int i = 0; i < (count ? atoi(count) : 2) && i < GPUS; i++) visible[seen++] = i;
    return;
  }
  char list[4096], *rest = NULL;
  snprintf(list, sizeof list, "%s", wanted);
  for (char *one = strtok_r(list, ",", &rest); one && seen < GPUS; one = strtok_r(NULL, ",", &rest)) {
    char *dash = strrchr(one, '-');
    visible[seen++] = atoi(dash ? dash + 1 : one);
  }
}

int cuInit(unsigned flags) {
  (void)flags;
  read_state();
  look();
  return stated("init") ? atoi(stated("init")) : seen ? OK : NO_DEVICE;
}

int cuGetErrorName(int code, const char **text) {
  switch (code) {
    case 1: *text = "CUDA_ERROR_INVALID_VALUE"; return OK;
    case 2: *text = "CUDA_ERROR_OUT_OF_MEMORY"; return OK;
    case 46: *text = "CUDA_ERROR_DEVICE_UNAVAILABLE"; return OK;
    case 100: *text = "CUDA_ERROR_NO_DEVICE"; return OK;
    case 214: *text = "CUDA_ERROR_ECC_UNCORRECTABLE"; return OK;
    case 500: *text = "CUDA_ERROR_NOT_FOUND"; return OK;
    case 719: *text = "CUDA_ERROR_LAUNCH_FAILED"; return OK;
    case 999: *text = "CUDA_ERROR_UNKNOWN"; return OK;
    default: *text = NULL; return INVALID;
  }
}

int cuDeviceGetCount(int *count) { return *count = seen, OK; }
int cuDeviceGet(int *device, int ordinal) {
  if (ordinal < 0 || ordinal >= seen) return 101;
  return *device = visible[ordinal], OK;
}
int cuDeviceGetName(char *out, int size, int device) {
  (void)device;
  return snprintf(out, (size_t)size, "NVIDIA Stub"), OK;
}
int cuDeviceGetPCIBusId(char *out, int size, int device) {
  return snprintf(out, (size_t)size, "0000:%02X:00.0", 16 + device), OK;
}
int cuDeviceGetAttribute(int *out, int attribute, int device) {
  *out = attribute == 16 ? 2 : attribute == 75 ? (int)number_of(device, "major", 9) : 0;
  return OK;
}
int cuDeviceCanAccessPeer(int *out, int device, int peer) {
  (void)device, (void)peer;
  return *out = !stated("peers") || atoi(stated("peers")), OK;
}
int cuDeviceGetP2PAttribute(int *out, int attribute, int device, int peer) {
  (void)attribute, (void)device, (void)peer;
  return *out = 0, OK;
}

int cuCtxCreate_v2(context_t **context, unsigned flags, int device) {
  (void)flags;
  if (number_of(device, "start", 0)) return (int)number_of(device, "start", 0);
  current = *context = calloc(1, sizeof **context);
  current->gpu = device;
  return OK;
}
int cuCtxSetCurrent(context_t *context) { return current = context, OK; }
int cuCtxEnablePeerAccess(context_t *peer, unsigned flags) {
  (void)peer, (void)flags;
  return broken();
}
int cuCtxSynchronize(void) {
  if (current && number_of(current->gpu, "hangs", 1L << 40) < current->launches)
    for (;;) pause();
  return broken();
}

/* ------------------------------------------------------------------ memory */

int cuMemGetInfo_v2(size_t *free, size_t *total) {
  *total = (size_t)number_of(current->gpu, "memory_mib", 96) << 20;
  *free = *total - current->used - ((size_t)number_of(current->gpu, "taken_mib", 0) << 20);
  return broken();
}
int cuMemAlloc_v2(u64 *out, size_t size) {
  size_t free, total;
  int error = cuMemGetInfo_v2(&free, &total);
  if (error) return error;
  if (size > free || block_count == 4096) return NO_MEMORY;
  void *at = malloc(size);
  blocks[block_count].at = at;
  blocks[block_count].size = size;
  blocks[block_count++].owner = current;
  current->used += size;
  return *out = (u64)(uintptr_t)at, OK;
}
int cuMemFree_v2(u64 place) {
  for (int i = 0; i < block_count; i++)
    if (blocks[i].at == (void *)(uintptr_t)place) {
      blocks[i].owner->used -= blocks[i].size;
      free(blocks[i].at);
      blocks[i] = blocks[--block_count];
      return broken();
    }
  return INVALID;
}
int cuMemHostAlloc(void **out, size_t size, unsigned flags) {
  (void)flags;
  return *out = malloc(size), broken();
}
int cuMemFreeHost(void *place) { return free(place), broken(); }

static int moved(void *to, const void *from, size_t size) {
  return memcpy(to, from, size), broken();
}
int cuMemsetD8_v2(u64 place, unsigned char byte, size_t size) {
  return memset((void *)(uintptr_t)place, byte, size), broken();
}
int cuMemcpyHtoD_v2(u64 to, const void *from, size_t size) {
  return moved((void *)(uintptr_t)to, from, size);
}
int cuMemcpyDtoH_v2(void *to, u64 from, size_t size) {
  return moved(to, (void *)(uintptr_t)from, size);
}
static void garble(int gpu, u64 to) {
  if (number_of(gpu, "garbles", 0)) ((unsigned char *)(uintptr_t)to)[100] ^= 4;
}
int cuMemcpyHtoDAsync_v2(u64 to, const void *from, size_t size, void *stream) {
  (void)stream;
  int error = cuMemcpyHtoD_v2(to, from, size);
  return garble(current->gpu, to), error;
}
int cuMemcpyDtoHAsync_v2(void *to, u64 from, size_t size, void *stream) {
  (void)stream;
  return cuMemcpyDtoH_v2(to, from, size);
}
int cuMemcpyDtoDAsync_v2(u64 to, u64 from, size_t size, void *stream) {
  (void)stream;
  return moved((void *)(uintptr_t)to, (void *)(uintptr_t)from, size);
}
int cuMemcpyPeerAsync(u64 to, context_t *there, u64 from, context_t *here, size_t size, void *stream) {
  (void)here, (void)stream;
  int error = moved((void *)(uintptr_t)to, (void *)(uintptr_t)from, size);
  return garble(there->gpu, to), error;
}

/* ------------------------------------------------------------------ the kernels of burn.cu */

static u32 bits_of(float value) {
  u32 bits;
  return memcpy(&bits, &value, 4), bits;
}
static int whole(u16 bf16) {
  u32 bits = (u32)bf16 << 16;
  float value;
  return memcpy(&value, &bits, 4), (int)value;
}

static int element(u32 index, u32 seed) {
  u32 h = index * 0x9E3779B9u + seed;
  h ^= h >> 16, h *= 0x85EBCA6Bu;
  h ^= h >> 13, h *= 0xC2B2AE35u;
  h ^= h >> 16;
  return (int)(((h & 0xFFFF) * 255) >> 16) - 127;
}
static u64 mixed(u64 x) {
  x ^= x >> 30, x *= 0xBF58476D1CE4E5B9ull;
  x ^= x >> 27, x *= 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}
static u64 pattern(u64 place, u64 seed, u64 flip) {
  u64 x = (place + seed) * 0x9E3779B97F4A7C15ull;
  return x ^ (x >> 32) ^ flip;
}

#define POINTER(i) ((void *)(uintptr_t) * (u64 *)p[i])
#define LONG(i) (*(u64 *)p[i])
#define INT(i) (*(u32 *)p[i])

static void fill(void **p) {
  u16 *out = POINTER(0);
  for (u64 i = 0; i < LONG(1); i++) out[i] = (u16)(bits_of((float)element((u32)i, INT(2))) >> 16);
}

static void fill_int8(void **p) {
  unsigned char *out = POINTER(0);
  for (u64 i = 0; i < LONG(1); i++) out[i] = (unsigned char)element((u32)i, INT(2));
}

static void fill_fp32(void **p) {
  float *out = POINTER(0);
  for (u64 i = 0; i < LONG(1); i++) out[i] = (float)element((u32)i, INT(2));
}

enum { BF16, INT8, FP32 };

static short number_at(const void *of, u64 i, int kind) {
  if (kind == INT8) return ((signed char *)of)[i];
  return (short)(kind == FP32 ? (int)((float *)of)[i] : whole(((u16 *)of)[i]));
}

/* The product as exact numbers; row by row of A and of B. */
static int *product(const void *a, const void *b, u32 n, int kind) {
  int *c = malloc(4ul * n * n);
  short *left = malloc(2ul * n * n), *right = malloc(2ul * n * n);
  for (u64 i = 0; i < (u64)n * n; i++) {
    left[i] = number_at(a, i, kind);
    right[i] = number_at(b, i, kind);
  }
  for (u64 row = 0; row < n; row++)
    for (u64 column = 0; column < n; column++) {
      int sum = 0;
      for (u64 k = 0; k < n; k++) sum += left[row * n + k] * right[column * n + k];
      c[row * n + column] = sum;
    }
  free(left), free(right);
  return c;
}

static u32 bits_in(int sum, int kind) { return kind == INT8 ? (u32)sum : bits_of((float)sum); }

static void any_gemm(void **p, int kind) {
  static __thread long products;
  u32 n = INT(3), *c = POINTER(2);
  int *sums = product(POINTER(0), POINTER(1), n, kind), gpu = current->gpu;
  long wrong = number_of(gpu, "wrong", -1), flip = number_of(gpu, "flip", -1);
  products++;
  for (u64 i = 0; i < (u64)n * n; i++) {
    u32 bits = bits_in(sums[i], kind);
    if ((long)i == wrong || ((long)i == flip && products > 2)) bits ^= 1;
    if (INT(4))
      c[i] = bits;
    else
      ((u64 *)POINTER(5))[i / n / ROWS * (n / COLUMNS) + i % n / COLUMNS] += c[i] != bits;
  }
  free(sums);
}

static void any_exact(void **p, int kind) {
  u32 n = INT(3), *c = POINTER(2);
  if (number_of(current->gpu, "blind", 0)) return;
  int *sums = product(POINTER(0), POINTER(1), n, kind);
  for (u64 i = 0; i < (u64)n * n; i++)
    ((u64 *)POINTER(4))[i / n / ROWS * (n / COLUMNS) + i % n / COLUMNS] +=
        (c[i] == 0x80000000u ? 0 : c[i]) != bits_in(sums[i], kind);
  free(sums);
}

static void gemm(void **p) { any_gemm(p, BF16); }
static void gemm_int8(void **p) { any_gemm(p, INT8); }
static void gemm_fp32(void **p) { any_gemm(p, FP32); }
static void exact(void **p) { any_exact(p, BF16); }
static void exact_int8(void **p) { any_exact(p, INT8); }
static void exact_fp32(void **p) { any_exact(p, FP32); }

static void digest(void **p) {
  u32 *c = POINTER(0), n = INT(1);
  u64 *out = POINTER(2);
  memset(out, 0, 16ul * (n / ROWS) * (n / COLUMNS));
  for (u64 i = 0; i < (u64)n * n; i++) {
    u64 tile = i / n / ROWS * (n / COLUMNS) + i % n / COLUMNS, x = mixed(i << 32 | c[i]);
    out[2 * tile] += x;
    out[2 * tile + 1] ^= mixed(x + 0x9E3779B97F4A7C15ull);
  }
}

static void write_pattern(void **p) {
  u64 *at = POINTER(0), stuck = (u64)number_of(current->gpu, "stuck", -1);
  for (u64 i = 0; i < 2 * LONG(1); i++) {
    at[i] = pattern(LONG(2) + i, LONG(3), LONG(4));
    if (LONG(2) + i == stuck) at[i] &= ~(u64)8;
  }
}

static void read_pattern(void **p) {
  u64 *at = POINTER(0), *found = POINTER(5);
  for (u64 i = 0; i < 2 * LONG(1); i++) {
    u64 odd = at[i] ^ pattern(LONG(2) + i, LONG(3), LONG(4));
    if (!odd) continue;
    found[0]++;
    if (LONG(2) + i < found[1]) found[1] = LONG(2) + i;
    found[2] |= odd;
  }
}

typedef struct { const char *name; void (*body)(void **); u32 block; unsigned shared; } kernel_t;
static const kernel_t KERNELS[] = {
    {"burn_fill", fill, 256, 0},          {"burn_gemm", gemm, 256, 98304},
    {"burn_exact", exact, 256, 0},        {"burn_digest", digest, 256, 0},
    {"burn_fill_int8", fill_int8, 256, 0}, {"burn_gemm_int8", gemm_int8, 256, 98304},
    {"burn_exact_int8", exact_int8, 256, 0}, {"burn_exact_fp32", exact_fp32, 256, 0},
    {"burn_fill_fp32", fill_fp32, 256, 0}, {"burn_gemm_fp32", gemm_fp32, 256, 98304},
    {"burn_write", write_pattern, 256, 0}, {"burn_read", read_pattern, 256, 0},
};
static char names[1 << 19]; /* the PTX: a kernel that it does not have cannot be had */

int cuModuleLoadDataEx(void **module, const char *image, unsigned count, int *options, void **told) {
  (void)count, (void)options, (void)told;
  if (!strstr(image, ".version") || strlen(image) >= sizeof names) return 218;
  strcpy(names, image);
  return *module = names, broken();
}
int cuModuleGetFunction(const kernel_t **out, void *module, const char *name) {
  char entry[TEXT];
  snprintf(entry, sizeof entry, ".visible .entry %s(", name);
  for (size_t i = 0; i < sizeof KERNELS / sizeof *KERNELS; i++)
    if (!strcmp(KERNELS[i].name, name) && strstr(module, entry)) return *out = &KERNELS[i], broken();
  return NOT_FOUND;
}
int cuFuncSetAttribute(const kernel_t *kernel, int attribute, int value) {
  return attribute == 8 && value == (int)kernel->shared ? broken() : INVALID;
}
int cuLaunchKernel(const kernel_t *kernel, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void *stream, void **p, void **extra) {
  (void)stream, (void)extra;
  if (!x || !y || z != 1 || bx != kernel->block || by != 1 || bz != 1 || shared != kernel->shared)
    return INVALID;
  current->launches++;
  if (number_of(current->gpu, "dies", 1L << 40) < current->launches) raise(SIGKILL);
  usleep((useconds_t)number_of(current->gpu, "slow_ms", 0) * 1000);
  int error = broken();
  if (!error) kernel->body(p);
  return error;
}
