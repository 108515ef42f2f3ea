/* Two cards as libixml (-DFAMILY=1), libhgml (2) or libbiren-ml (3) show them.  ALIKE_ILL: the
   second has lost data; ALIKE_LOST: it is gone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if FAMILY == 1
#define F(name) nvml##name
#elif FAMILY == 2
#define F(name) hgml##name
#else
#define F(name) brml##name
#endif
#define LOST (FAMILY == 3 ? 255 : 15)
#define ILL(card) (getenv("ALIKE_ILL") && number(card) == 1)
typedef unsigned long long wide;

static long number(void *card) { return (long)card - 0x100000000L; }
static int put(unsigned *to, unsigned value) { *to = value; return 0; }

int F(Init)(void) { return getenv("ALIKE_NO_DRIVER") ? (FAMILY == 3 ? 7 : 9) : 0; }
int F(SystemGetDriverVersion)(char *to, unsigned size) { return snprintf(to, size, "4.3.8") < 0; }
int F(DeviceGetUUID)(void *card, char *to, unsigned size) {
    return snprintf(to, size, "GPU-0000-%ld", number(card)) < 0;
}
int F(DeviceGetTemperature)(void *card, int sensor, unsigned *to) {
    return sensor ? 3 : put(to, 40 + number(card));
}
int F(DeviceGetPowerUsage)(void *card, unsigned *to) { return put(to, 81500 + number(card)); }
int F(DeviceGetClockInfo)(void *card, int kind, unsigned *to) {
    (void)card;
    return put(to, kind == 1 ? 1500 : 1600);
}
int F(DeviceGetMaxClockInfo)(void *card, int kind, unsigned *to) {
    (void)card;
    return put(to, kind == 1 ? 1600 : 1600);
}
int F(DeviceGetCurrPcieLinkWidth)(void *card, unsigned *to) { (void)card; return put(to, 16); }
int F(DeviceGetMaxPcieLinkWidth)(void *card, unsigned *to) { (void)card; return put(to, 16); }
int F(DeviceGetCurrPcieLinkGeneration)(void *card, unsigned *to) { (void)card; return put(to, 4); }
int F(DeviceGetMaxPcieLinkGeneration)(void *card, unsigned *to) { (void)card; return put(to, 4); }
int F(DeviceGetTotalEccErrors)(void *card, int kind, int since, wide *to) {
    if (since && FAMILY == 3) return 2;
    *to = kind && ILL(card) ? 7 : 0;
    return 0;
}
int F(DeviceGetMemoryInfo)(void *card, wide *to) {
    (void)card;
    to[0] = 34359738368ULL, to[1] = 34359738368ULL - 1048576, to[2] = 1048576;
    return 0;
}
int F(DeviceGetUtilizationRates)(void *card, unsigned *to) {
    (void)card;
    to[0] = 30, to[1] = 5;
    return 0;
}

#if FAMILY == 3
int F(DeviceGetCount)(unsigned *count) { return put(count, 2); }
int F(DeviceGetHandleByIndex)(unsigned index, void **card) {
    *card = (void *)(0x100000000L + index);
    return index == 1 && getenv("ALIKE_LOST") ? LOST : 0;
}
int F(DeviceGetPciInfo)(void *card, char *to) {
    memset(to, 0, 56);
    return sprintf(to + 24, "00000000:%02lX:00.0", 0x1a + number(card)) < 0;
}
int F(DeviceGetGpuInfo)(void *card, char *to) {
    memset(to, 0, 384), strcpy(to, "BR104P"), strcpy(to + 96, "id");
    return sprintf(to + 192, "SN%ld", number(card)) < 0;
}
int F(DeviceGetPowerManagementLimit)(void *card, unsigned *to) {
    (void)card;
    return put(to, 300000);
}
int F(DeviceGetEccMode)(void *card, unsigned *to) { (void)card; return put(to, 1); }
int F(DeviceGetHealthStatus)(void *card, unsigned *to) { return put(to, ILL(card) ? 3 : 0); }
int F(DeviceGetBrLinkNumber)(void *card, unsigned *to) { (void)card; return put(to, 2); }
int F(DeviceGetBrLinkState)(void *card, unsigned link, unsigned *to) {
    return put(to, !(link == 1 && ILL(card)));
}
int F(DeviceGetBrLinkErrorCounter)(void *card, unsigned link, int kind, wide *to) {
    (void)card;
    *to = link * 10 + kind;
    return 0;
}
int F(DeviceGetComputeRunningProcesses)(void *card, unsigned *count, char *to) {
    if (*count < 1) return 6;
    *count = number(card) == 0;
    *(unsigned *)to = 1, *(wide *)(to + 8) = 4096, *(wide *)(to + 16) = 0;
    return 0;
}
#else
int F(DeviceGetCount_v2)(unsigned *count) { return put(count, 2); }
int F(DeviceGetHandleByIndex_v2)(unsigned index, void **card) {
    *card = (void *)(0x100000000L + index);
    return index == 1 && getenv("ALIKE_LOST") ? LOST : 0;
}
int F(DeviceGetName)(void *card, char *to, unsigned size) {
    (void)card;
    return snprintf(to, size, FAMILY == 1 ? "Iluvatar BI-V150" : "PPU-ZW810") < 0;
}
int F(DeviceGetSerial)(void *card, char *to, unsigned size) {
    (void)card, (void)to, (void)size;
    return 3;
}
int F(DeviceGetPciInfo_v3)(void *card, char *to) {
    memset(to, 0, 68);
    return sprintf(to + 36, "00000000:%02lX:00.0", 0x1a + number(card)) < 0;
}
int F(DeviceGetEccMode)(void *card, unsigned *now, unsigned *later) {
    (void)card;
    put(later, 1);
    return put(now, 1);
}
int F(DeviceGetCurrentClocksThrottleReasons)(void *card, wide *to) {
    *to = ILL(card) ? 0x40 : 0x1;
    return 0;
}
int F(DeviceGetRemappedRows)(void *card, unsigned *a, unsigned *b, unsigned *c, unsigned *d) {
    put(a, 0), put(b, ILL(card)), put(c, ILL(card));
    return put(d, 0);
}
int F(DeviceGetComputeRunningProcesses_v3)(void *card, unsigned *count, char *to) {
    if (*count < 1) return 7;
    *count = number(card) == 0;
    *(unsigned *)to = 1, *(wide *)(to + 8) = 4096;
    return 0;
}
#endif
#if FAMILY == 1
int ixmlDeviceGetHealth(void *card, wide *to) { *to = ILL(card) ? 0x30 : 0; return 0; }
#elif FAMILY == 2
int F(DeviceGetIcnLinkState)(void *card, unsigned link, unsigned *to) {
    (void)card;
    return link < 2 ? put(to, 1) : 2;
}
int F(DeviceGetIcnLinkErrorCounter)(void *card, unsigned link, int kind, wide *to) {
    (void)card;
    *to = link * 10 + kind;
    return kind > 3 ? 2 : 0;
}
#endif
