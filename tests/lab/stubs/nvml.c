/* A libnvidia-ml.so.1 that reads its GPUs from a plain text file, for tests and for the lab.

   gcc -shared -fPIC -O1 -Wall -Wextra -o libnvidia-ml.so.1 nvml.c

   The file is $CLUSTERCTL_NVML_STATE or /etc/clusterctl-lab/nvml.conf, read on every nvmlInit, and
   again when it has changed:

     count = 8                     GPUs that the library sees (default 8)
     driver = 550.90.07
     init = 9                      nvmlInit fails with this NVML error (9: driver not loaded)
     gpu.*.temp_c = 40             every GPU; the last line that names a key wins
     gpu.3.temp_c = 88             this one, before what is said of all
     gpu.3.temp_c = none           not supported
     gpu.3.temp_c = error 999      this NVML error
     gpu.3.lost = 1                no handle: "GPU is lost"
     gpu.3.dead = 1                a handle, and every call on it says "GPU is lost"
     hang = 1                      nvmlInit never comes back, deaf to SIGTERM
     gpu.2.hang = temp_c           whoever asks for this never gets an answer
     gpu.2.hang_ignores_term = 1   ... and cannot be ended by SIGTERM
     gpu.3.throttle = idle,hw_thermal   or NVML's mask, 0x41
     gpu.3.links = 18              NVLinks (0: none); links_down = 5,7
     gpu.3.link5.crc_flit_errors = 12
     gpu.3.processes = 4242:python3:1024;17:Xorg:12        pid:name:MiB
     gpu.3.fabric_state = completed   not_started, in_progress, none;  fabric_status = 0
     gpu.3.fabric_cluster = 5a5a…     32 hexadecimal digits; fabric_clique = 32766
     gpu.3.recovery_action = 1        NVML's number

   All other keys, named as the fields of Accelerator, with their defaults: DEFAULTS below, an idle
   H100.  Layouts are those of nvml.h as pynvml's ctypes have them. */

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  SUCCESS = 0,
  UNINITIALIZED = 1,
  INVALID_ARGUMENT = 2,
  NOT_SUPPORTED = 3,
  NOT_FOUND = 6,
  INSUFFICIENT_SIZE = 7,
  GPU_IS_LOST = 15,
  UNKNOWN = 999
};

typedef unsigned long long ull;
typedef struct { int index; } *device_t;

typedef struct { unsigned version; int margin; } margin_t;
typedef struct { ull reference, time; } violation_t;
typedef struct { unsigned gpu, memory; } utilisation_t;
typedef struct { ull total, free, used; } memory_t;
typedef struct { unsigned version; ull total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned char cluster[16]; unsigned status, clique, state; } fabric_t;
typedef struct {
  unsigned version;
  unsigned char cluster[16];
  unsigned status, clique, state, health;
} fabric_v2_t;

#define GPUS_AT_MOST 64
#define LINES_AT_MOST 4096
#define TEXT 160

static struct { char key[TEXT], value[TEXT]; } lines[LINES_AT_MOST];
static int line_count, initialised;
static struct { int index; } devices[GPUS_AT_MOST];

static const char *const DEFAULTS[][2] = {
    {"name", "NVIDIA H100 80GB HBM3"}, {"vbios", "96.00.89.00.01"}, {"inforom", "G520.0200.00.05"},
    {"temp_c", "34"}, {"temp_memory_c", "45"}, {"temp_slowdown_c", "none"},
    {"temp_memory_max_c", "none"}, {"temp_limit_c", "87"}, {"temp_slowdown_tlimit_c", "-2"},
    {"power_w", "72.5"}, {"power_limit_w", "700"}, {"power_limit_default_w", "700"},
    {"clock_sm_mhz", "345"}, {"clock_sm_max_mhz", "1980"}, {"clock_memory_mhz", "2619"},
    {"clock_memory_max_mhz", "2619"}, {"throttle", "idle"}, {"throttle_thermal_us", "0"},
    {"throttle_power_us", "0"}, {"utilisation_percent", "0"}, {"memory_total_mib", "81559"},
    {"memory_used_mib", "4"}, {"ecc_on", "1"}, {"ecc_corrected_volatile", "0"},
    {"ecc_uncorrected_volatile", "0"}, {"ecc_corrected_aggregate", "0"},
    {"ecc_uncorrected_aggregate", "0"}, {"retired_single", "none"}, {"retired_double", "none"},
    {"retired_pending", "none"}, {"remapped_corrected", "0"}, {"remapped_uncorrected", "0"},
    {"remap_pending", "0"}, {"remap_failed", "0"}, {"pcie_gen", "5"}, {"pcie_gen_max", "5"},
    {"pcie_width", "16"}, {"pcie_width_max", "16"}, {"pcie_replays", "0"},
    {"fabric_state", "completed"}, {"fabric_status", "0"}, {"fabric_health", "0"},
    {"fabric_cluster", "00000000000000000000000000000000"}, {"fabric_clique", "0"},
    {"recovery_action", "0"}, {"persistence", "1"}, {"mig", "0"}, {"links", "18"},
    {"links_down", ""}, {"link_mbyte_s", "26562"}, {"processes", ""}, {"hang", ""},
    {"hang_ignores_term", "0"}, {"lost", "0"}, {"dead", "0"},
};
static const char *const THROTTLE[] = {"idle", "clocks_setting", "sw_power_cap", "hw_slowdown",
                                       "sync_boost", "sw_thermal", "hw_thermal",
                                       "hw_power_brake", "display"};
/* An HGX H100's addresses. */
static const char *const BUSES[] = {"1B", "43", "52", "61", "9D", "C3", "D1", "DF"};

/* ------------------------------------------------------------------ the state file */

static char *trimmed(char *text) {
  while (isspace((unsigned char)*text)) text++;
  char *end = text + strlen(text);
  while (end > text && isspace((unsigned char)end[-1])) *--end = 0;
  return text;
}

static const char *state_path(void) {
  const char *path = getenv("CLUSTERCTL_NVML_STATE");
  return path && *path ? path : "/etc/clusterctl-lab/nvml.conf";
}

static struct stat as_read;

static void read_state(void) {
  FILE *file = fopen(state_path(), "r");
  if (file) fstat(fileno(file), &as_read);
  char line[2 * TEXT];
  line_count = 0;
  while (file && line_count < LINES_AT_MOST && fgets(line, sizeof line, file)) {
    char *equals = strchr(line, '=');
    if (!equals || *trimmed(line) == '#') continue;
    *equals = 0;
    snprintf(lines[line_count].key, TEXT, "%s", trimmed(line));
    snprintf(lines[line_count++].value, TEXT, "%s", trimmed(equals + 1));
  }
  if (file) fclose(file);
}

static void read_again_if_changed(void) {
  struct stat now;
  if (!stat(state_path(), &now) &&
      (now.st_ino != as_read.st_ino || now.st_size != as_read.st_size ||
       now.st_mtim.tv_sec != as_read.st_mtim.tv_sec ||
       now.st_mtim.tv_nsec != as_read.st_mtim.tv_nsec))
    read_state();
}

static const char *stated(const char *key) {
  for (int i = line_count; i-- > 0;)
    if (!strcmp(lines[i].key, key)) return lines[i].value;
  return NULL;
}

static const char *value_of(int gpu, const char *name) {
  char key[TEXT];
  snprintf(key, sizeof key, "gpu.%d.%s", gpu, name);
  const char *found = stated(key);
  if (found) return found;
  snprintf(key, sizeof key, "gpu.*.%s", name);
  if ((found = stated(key))) return found;
  for (size_t i = 0; i < sizeof DEFAULTS / sizeof *DEFAULTS; i++)
    if (!strcmp(DEFAULTS[i][0], name)) return DEFAULTS[i][1];
  return "";
}

static int number_of(const char *key, int otherwise) {
  const char *found = stated(key);
  return found ? atoi(found) : otherwise;
}

static int device_count(void) {
  int count = number_of("count", 8);
  return count < 0 ? 0 : count > GPUS_AT_MOST ? GPUS_AT_MOST : count;
}

static int listed(const char *list, const char *word) {
  size_t length = strlen(word);
  for (const char *at = list; (at = strstr(at, word)); at += length)
    if ((at == list || at[-1] == ',') && (at[length] == ',' || !at[length])) return 1;
  return 0;
}

__attribute__((noreturn)) static void hang(int deaf) {
  if (deaf) signal(SIGTERM, SIG_IGN);
  for (;;) pause();
}

/* What this GPU says of `name`, or the error it gives instead; or never comes back. */
static int told(device_t device, const char *name, const char **text) {
  if (!initialised) return UNINITIALIZED;
  if (!device) return INVALID_ARGUMENT;
  read_again_if_changed();
  int gpu = device->index;
  if (listed(value_of(gpu, "hang"), name)) hang(atoi(value_of(gpu, "hang_ignores_term")));
  if (atoi(value_of(gpu, "dead"))) return GPU_IS_LOST;
  *text = value_of(gpu, name);
  if (!strcmp(*text, "none")) return NOT_SUPPORTED;
  if (!strncmp(*text, "error ", 6)) return atoi(*text + 6);
  return SUCCESS;
}

static int real(device_t device, const char *name, double scale, double *out) {
  const char *text;
  int error = told(device, name, &text);
  if (!error) *out = atof(text) * scale;
  return error;
}

static int whole(device_t device, const char *name, double scale, unsigned *out) {
  double value;
  int error = real(device, name, scale, &value);
  if (!error) *out = (unsigned)(value + 0.5);
  return error;
}

static int big(device_t device, const char *name, ull scale, ull *out) {
  const char *text;
  int error = told(device, name, &text);
  if (!error) *out = strtoull(text, NULL, 0) * scale;
  return error;
}

static int text_of(device_t device, const char *name, char *out, unsigned size) {
  const char *text;
  int error = told(device, name, &text);
  if (error) return error;
  if (strlen(text) >= size) return INSUFFICIENT_SIZE;
  strcpy(out, text);
  return SUCCESS;
}

/* ------------------------------------------------------------------ the library */

int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  read_state();
  if (number_of("hang", 0)) hang(1);
  for (int i = 0; i < GPUS_AT_MOST; i++) devices[i].index = i;
  int error = number_of("init", SUCCESS);
  initialised = !error;
  return error;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) {
  initialised = 0;
  return SUCCESS;
}

const char *nvmlErrorString(int error) {
  switch (error) {
    case SUCCESS: return "The operation was successful";
    case UNINITIALIZED: return "NVML was not first initialized with nvmlInit()";
    case INVALID_ARGUMENT: return "A supplied argument is invalid";
    case NOT_SUPPORTED: return "The requested operation is not available on the target device";
    case 4: return "Insufficient Permissions";
    case NOT_FOUND: return "A query to find an object was unsuccessful";
    case 9: return "NVIDIA driver is not loaded";
    case GPU_IS_LOST: return "GPU is lost";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
  }
}

static int system_text(const char *key, const char *otherwise, char *out, unsigned size) {
  const char *found = stated(key);
  snprintf(out, size, "%s", found ? found : otherwise);
  return SUCCESS;
}
int nvmlSystemGetDriverVersion(char *out, unsigned size) {
  return system_text("driver", "550.90.07", out, size);
}
int nvmlSystemGetNVMLVersion(char *out, unsigned size) {
  return system_text("nvml", "12.550.90.07", out, size);
}

int nvmlDeviceGetCount_v2(unsigned *count) {
  *count = device_count();
  return initialised ? SUCCESS : UNINITIALIZED;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *device) {
  if ((int)index >= device_count()) return INVALID_ARGUMENT;
  *device = (device_t)&devices[index];
  return atoi(value_of(index, "lost")) ? GPU_IS_LOST : SUCCESS;
}

int nvmlDeviceGetName(device_t d, char *out, unsigned size) { return text_of(d, "name", out, size); }
int nvmlDeviceGetVbiosVersion(device_t d, char *out, unsigned size) {
  return text_of(d, "vbios", out, size);
}
int nvmlDeviceGetInforomImageVersion(device_t d, char *out, unsigned size) {
  return text_of(d, "inforom", out, size);
}
int nvmlDeviceGetUUID(device_t d, char *out, unsigned size) {
  int error = text_of(d, "uuid", out, size);
  if (!error && !*out)
    snprintf(out, size, "GPU-5a5a0000-0000-4000-8000-%012d", d->index);
  return error;
}
int nvmlDeviceGetSerial(device_t d, char *out, unsigned size) {
  int error = text_of(d, "serial", out, size);
  if (!error && !*out) snprintf(out, size, "1650000000%03d", d->index);
  return error;
}

typedef struct {
  char legacy[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
} pci_t;

int nvmlDeviceGetPciInfo_v3(device_t d, pci_t *pci) {
  const char *text;
  int error = told(d, "pci", &text);
  if (error) return error;
  memset(pci, 0, sizeof *pci);
  pci->device_id = 0x233010de;
  snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%s:00.0",
           d->index < 8 ? BUSES[d->index] : "E0");
  if (*text) snprintf(pci->bus_id, sizeof pci->bus_id, "%s", text);
  snprintf(pci->legacy, sizeof pci->legacy, "%.15s", pci->bus_id + 4);
  sscanf(pci->bus_id, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
  return SUCCESS;
}

int nvmlDeviceGetTemperature(device_t d, int sensor, unsigned *out) {
  return sensor ? INVALID_ARGUMENT : whole(d, "temp_c", 1, out);
}
int nvmlDeviceGetTemperatureThreshold(device_t d, int threshold, unsigned *out) {
  if (threshold == 1) return whole(d, "temp_slowdown_c", 1, out);
  if (threshold == 2) return whole(d, "temp_memory_max_c", 1, out);
  return NOT_SUPPORTED;
}
int nvmlDeviceGetMarginTemperature(device_t d, margin_t *out) {
  double limit, now;
  int error = real(d, "temp_limit_c", 1, &limit);
  if (!error) error = real(d, "temp_c", 1, &now);
  if (!error) out->margin = (int)(limit - now);
  return error;
}
int nvmlDeviceGetPowerUsage(device_t d, unsigned *out) { return whole(d, "power_w", 1000, out); }
int nvmlDeviceGetEnforcedPowerLimit(device_t d, unsigned *out) {
  return whole(d, "power_limit_w", 1000, out);
}
int nvmlDeviceGetPowerManagementDefaultLimit(device_t d, unsigned *out) {
  return whole(d, "power_limit_default_w", 1000, out);
}
int nvmlDeviceGetClockInfo(device_t d, int kind, unsigned *out) {
  return whole(d, kind == 2 ? "clock_memory_mhz" : "clock_sm_mhz", 1, out);
}
int nvmlDeviceGetMaxClockInfo(device_t d, int kind, unsigned *out) {
  return whole(d, kind == 2 ? "clock_memory_max_mhz" : "clock_sm_max_mhz", 1, out);
}
int nvmlDeviceGetCurrentClocksEventReasons(device_t d, ull *out) {
  const char *text;
  int error = told(d, "throttle", &text);
  if (error) return error;
  *out = strtoull(text, NULL, 0);
  for (size_t i = 0; i < sizeof THROTTLE / sizeof *THROTTLE; i++)
    if (listed(text, THROTTLE[i])) *out |= 1ull << i;
  return SUCCESS;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(device_t d, ull *out) {
  return nvmlDeviceGetCurrentClocksEventReasons(d, out);
}
int nvmlDeviceGetViolationStatus(device_t d, int policy, violation_t *out) {
  if (policy > 1) return NOT_SUPPORTED;
  out->reference = 0;
  return big(d, policy ? "throttle_thermal_us" : "throttle_power_us", 1000, &out->time);
}
int nvmlDeviceGetUtilizationRates(device_t d, utilisation_t *out) {
  out->memory = 0;
  return whole(d, "utilisation_percent", 1, &out->gpu);
}

static int memory(device_t d, ull *total, ull *used) {
  int error = big(d, "memory_total_mib", 1 << 20, total);
  return error ? error : big(d, "memory_used_mib", 1 << 20, used);
}
int nvmlDeviceGetMemoryInfo(device_t d, memory_t *out) {
  int error = memory(d, &out->total, &out->used);
  if (!error) out->free = out->total - out->used;
  return error;
}
int nvmlDeviceGetMemoryInfo_v2(device_t d, memory_v2_t *out) {
  int error = memory(d, &out->total, &out->used);
  out->reserved = 0;
  if (!error) out->free = out->total - out->used;
  return error;
}

int nvmlDeviceGetEccMode(device_t d, unsigned *now, unsigned *pending) {
  int error = whole(d, "ecc_on", 1, now);
  *pending = *now;
  return error;
}
int nvmlDeviceGetTotalEccErrors(device_t d, int kind, int since, ull *out) {
  static const char *const NAMES[2][2] = {
      {"ecc_corrected_volatile", "ecc_corrected_aggregate"},
      {"ecc_uncorrected_volatile", "ecc_uncorrected_aggregate"}};
  unsigned on;
  if (kind < 0 || kind > 1 || since < 0 || since > 1) return INVALID_ARGUMENT;
  int error = whole(d, "ecc_on", 1, &on);
  if (error || !on) return error ? error : NOT_SUPPORTED;
  return big(d, NAMES[kind][since], 1, out);
}
int nvmlDeviceGetRetiredPages(device_t d, int cause, unsigned *count, ull *pages) {
  unsigned retired;
  int error = whole(d, cause ? "retired_double" : "retired_single", 1, &retired);
  if (error) return error;
  unsigned room = pages ? *count : 0;
  *count = retired;
  if (room < retired) return INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < retired; i++) pages[i] = 0x1000ull * (i + 1);
  return SUCCESS;
}
int nvmlDeviceGetRetiredPagesPendingStatus(device_t d, unsigned *out) {
  return whole(d, "retired_pending", 1, out);
}
int nvmlDeviceGetRemappedRows(device_t d, unsigned *corrected, unsigned *uncorrected,
                              unsigned *pending, unsigned *failed) {
  int error = whole(d, "remapped_corrected", 1, corrected);
  if (!error) error = whole(d, "remapped_uncorrected", 1, uncorrected);
  if (!error) error = whole(d, "remap_pending", 1, pending);
  return error ? error : whole(d, "remap_failed", 1, failed);
}
int nvmlDeviceGetCurrPcieLinkGeneration(device_t d, unsigned *o) { return whole(d, "pcie_gen", 1, o); }
int nvmlDeviceGetMaxPcieLinkGeneration(device_t d, unsigned *o) {
  return whole(d, "pcie_gen_max", 1, o);
}
int nvmlDeviceGetCurrPcieLinkWidth(device_t d, unsigned *o) { return whole(d, "pcie_width", 1, o); }
int nvmlDeviceGetMaxPcieLinkWidth(device_t d, unsigned *o) {
  return whole(d, "pcie_width_max", 1, o);
}
int nvmlDeviceGetPcieReplayCounter(device_t d, unsigned *o) { return whole(d, "pcie_replays", 1, o); }
int nvmlDeviceGetPersistenceMode(device_t d, unsigned *o) { return whole(d, "persistence", 1, o); }
int nvmlDeviceGetMigMode(device_t d, unsigned *now, unsigned *pending) {
  int error = whole(d, "mig", 1, now);
  *pending = *now;
  return error;
}

/* ------------------------------------------------------------------ NVLink and fabric */

static int link_of(device_t d, unsigned link, int *up) {
  unsigned links;
  const char *down;
  char number[12];
  int error = whole(d, "links", 1, &links);
  if (!error) error = told(d, "links_down", &down);
  if (error) return error;
  if (!links) return NOT_SUPPORTED;
  if (link >= links) return INVALID_ARGUMENT;
  snprintf(number, sizeof number, "%u", link);
  *up = !listed(down, number);
  return SUCCESS;
}
int nvmlDeviceGetNvLinkState(device_t d, unsigned link, unsigned *active) {
  int up = 0, error = link_of(d, link, &up);
  *active = up;
  return error;
}
int nvmlDeviceGetNvLinkErrorCounter(device_t d, unsigned link, unsigned kind, ull *out) {
  static const char *const NAMES[] = {"replay_errors", "recovery_errors", "crc_flit_errors",
                                      "crc_data_errors", "ecc_data_errors"};
  char name[TEXT];
  int up, error = link_of(d, link, &up);
  if (error || kind > 4) return error ? error : INVALID_ARGUMENT;
  snprintf(name, sizeof name, "link%u.%s", link, NAMES[kind]);
  return big(d, name, 1, out);
}

static int fabric(device_t d, unsigned *state, unsigned *status, unsigned *health) {
  const char *text;
  int error = told(d, "fabric_state", &text);
  if (error == NOT_SUPPORTED) {
    *state = *status = *health = 0;
    return SUCCESS;
  }
  if (error) return error;
  *state = !strcmp(text, "completed") ? 3 : !strcmp(text, "in_progress") ? 2 : 1;
  error = whole(d, "fabric_status", 1, status);
  return error ? error : whole(d, "fabric_health", 1, health);
}
static int domain(device_t d, unsigned char cluster[16], unsigned *clique) {
  const char *text;
  int error = told(d, "fabric_cluster", &text);
  for (int at = 0; !error && at < 16; at++)
    if (sscanf(text + 2 * at, "%2hhx", cluster + at) != 1) return UNKNOWN;
  return error ? error : whole(d, "fabric_clique", 1, clique);
}
int nvmlDeviceGetGpuFabricInfo(device_t d, fabric_t *out) {
  unsigned health;
  int error = domain(d, out->cluster, &out->clique);
  return error ? error : fabric(d, &out->state, &out->status, &health);
}
int nvmlDeviceGetGpuFabricInfoV(device_t d, fabric_v2_t *out) {
  if (out->version >> 24 > 2) return 25; /* as driver 550: this structure is newer than it is */
  int error = domain(d, out->cluster, &out->clique);
  return error ? error : fabric(d, &out->state, &out->status, &out->health);
}

/* ------------------------------------------------------------------ field values */

typedef struct {
  unsigned id, scope;
  long long timestamp, latency;
  unsigned type;
  int error;
  union { double d; unsigned u; ull l; int i; } value;
} field_t;

static int field(device_t d, field_t *f) {
  f->type = 1;
  switch (f->id) {
    case 82: return whole(d, "temp_memory_c", 1, &f->value.u);
    case 91: return whole(d, "links", 1, &f->value.u);
    case 230: return whole(d, "recovery_action", 1, &f->value.u);
    case 164: {
      int up, error = link_of(d, f->scope, &up);
      return error ? error : whole(d, "link_mbyte_s", 1, &f->value.u);
    }
    case 194: {
      double value;
      f->type = 5;
      int error = real(d, "temp_slowdown_tlimit_c", 1, &value);
      if (!error) f->value.i = (int)value;
      return error;
    }
    case 74: f->type = 3; return big(d, "throttle_power_us", 1000, &f->value.l);
    case 269: f->type = 3; return big(d, "throttle_thermal_us", 1000, &f->value.l);
    case 270:
    case 271: f->type = 3; f->value.l = 0; return SUCCESS;
    default: return INVALID_ARGUMENT; /* as a driver that is too old for it */
  }
}
int nvmlDeviceGetFieldValues(device_t d, int count, field_t *fields) {
  if (!d || !initialised) return INVALID_ARGUMENT;
  for (int i = 0; i < count; i++) fields[i].error = field(d, &fields[i]);
  return SUCCESS;
}

/* ------------------------------------------------------------------ processes */

typedef struct { unsigned pid; ull used; unsigned gpu_instance, compute_instance; } process_t;

static int processes(device_t d, unsigned *count, process_t *out) {
  char list[TEXT];
  const char *text;
  unsigned found = 0, room = out ? *count : 0;
  int error = told(d, "processes", &text);
  if (error) return error;
  snprintf(list, sizeof list, "%s", text);
  for (char *rest = list, *item; (item = strsep(&rest, ";"));) {
    unsigned pid, mib;
    if (sscanf(item, "%u:%*[^:]:%u", &pid, &mib) != 2) continue;
    if (found < room) out[found] = (process_t){pid, (ull)mib << 20, ~0u, ~0u};
    found++;
  }
  *count = found;
  return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device_t d, unsigned *count, process_t *out) {
  return processes(d, count, out);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(device_t d, unsigned *count, process_t *out) {
  (void)out;
  *count = 0;
  return d ? SUCCESS : INVALID_ARGUMENT;
}
int nvmlSystemGetProcessName(unsigned wanted, char *out, unsigned size) {
  for (int i = 0; i < device_count(); i++) {
    char list[TEXT], name[TEXT];
    snprintf(list, sizeof list, "%s", value_of(i, "processes"));
    for (char *rest = list, *item; (item = strsep(&rest, ";"));) {
      unsigned pid;
      if (sscanf(item, "%u:%150[^:]:", &pid, name) == 2 && pid == wanted) {
        snprintf(out, size, "%s", name);
        return SUCCESS;
      }
    }
  }
  return NOT_FOUND;
}
