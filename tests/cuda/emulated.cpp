// The kernels of burn.cu on a CPU, held against plain loops.  Prints "all held" when they agree.

#define EMULATED
#include "emulated.h"
#include "../../clusterctl/remote/cuda/burn.cu"

#define HOLDS(what) do { if (!(what)) { printf("line %d: %s\n", __LINE__, #what); exit(1); } } while (0)

static const u32 N = 512;
alignas(16) static u16 a[N * N], b[N * N];
alignas(16) static u8 a8[N * N], b8[N * N];
alignas(16) static float a32[N * N], b32[N * N];
alignas(16) static u32 c[N * N];
static u64 bad[(N / ROWS) * (N / COLUMNS)], digests[2 * (N / ROWS) * (N / COLUMNS)], found[3];
static const u32 TILES = (N / ROWS) * (N / COLUMNS);
static u32 store;
static ulonglong2 memory[1000];
static u64 flip;

static void fill_a() { burn_fill(a, (u64)N * N, 1); }
static void fill_b() { burn_fill(b, (u64)N * N, 2); }
static void fill_a8() { burn_fill_int8(a8, (u64)N * N, 1); }
static void fill_b8() { burn_fill_int8(b8, (u64)N * N, 2); }
static void fill_a32() { burn_fill_fp32(a32, (u64)N * N, 1); }
static void fill_b32() { burn_fill_fp32(b32, (u64)N * N, 2); }
static void gemm_bf16() { burn_gemm((const u8 *)a, (const u8 *)b, c, N, store, bad); }
static void gemm_int8() { burn_gemm_int8(a8, b8, c, N, store, bad); }
static void gemm_fp32() { burn_gemm_fp32((const u8 *)a32, (const u8 *)b32, c, N, store, bad); }
static void exact_bf16() { burn_exact(a, b, c, N, bad); }
static void exact_int8() { burn_exact_int8(a8, b8, c, N, bad); }
static void exact_fp32() { burn_exact_fp32(a32, b32, c, N, bad); }
static void digest() { burn_digest(c, N, digests); }

static void (*gemm)() = gemm_bf16, (*exact)() = exact_bf16; // what is held now
static void write() { burn_write(memory, 1000, 77, 5, flip); }
static void read() { burn_read(memory, 1000, 77, 5, flip, found); }

static u64 all_bad()
{
    u64 sum = 0;
    for (u64 &count : bad) {
        sum += count;
        count = 0;
    }
    return sum;
}

static void hold_fill()
{
    // As in test_cuda_kernels.py, of Python's own.
    HOLDS(element(0, 1) == -87 && element(1, 1) == 121 && element(12345, 99) == -34);
    HOLDS(element(1u << 27, 0xFFFFFFFFu) == -66);
    run(fill_a, {3, 1, 1}, 64, 0);
    run(fill_b, {3, 1, 1}, 64, 0);
    bool least = false, most = false;
    for (u32 i = 0; i < N * N; i++) {
        float value = __uint_as_float((u32)a[i] << 16);
        HOLDS(value == (float)element(i, 1) && value >= -127 && value <= 127);
        least |= value == -127;
        most |= value == 127;
    }
    HOLDS(least && most);
    run(fill_a8, {3, 1, 1}, 64, 0);
    run(fill_b8, {3, 1, 1}, 64, 0);
    for (u32 i = 0; i < N * N; i++)
        HOLDS((signed char)a8[i] == element(i, 1) && (signed char)b8[i] == element(i, 2));
    run(fill_a32, {3, 1, 1}, 64, 0);
    run(fill_b32, {3, 1, 1}, 64, 0);
    for (u32 i = 0; i < N * N; i++)
        HOLDS(a32[i] == (float)element(i, 1) && b32[i] == (float)element(i, 2));
}

static u32 bits_of_sum(int sum) { return gemm == gemm_int8 ? (u32)sum : __float_as_uint((float)sum); }

static void hold_product()
{
    memset(c, 0xFF, sizeof c);
    store = 1;
    run(gemm, {TILES, 1, 1}, THREADS, 0);
    for (u32 row = 0; row < N; row++)
        for (u32 column = 0; column < N; column++) {
            int sum = 0;
            for (u32 k = 0; k < N; k++)
                sum += element(row * N + k, 1) * element(column * N + k, 2);
            HOLDS(c[row * N + column] == bits_of_sum(sum));
        }
    store = 0;
    run(gemm, {TILES, 1, 1}, THREADS, 1);
    HOLDS(all_bad() == 0);
}

// One element of C becomes `bits`: each check names its tile and no other.
static void hold_fault(u32 row, u32 column, u32 bits, bool compute_again)
{
    u32 tile = row / ROWS * (N / COLUMNS) + column / COLUMNS, at = row * N + column;
    u32 sound = c[at];
    u64 before[2 * TILES];
    run(digest, {TILES, 1, 1}, 256, 0);
    memcpy(before, digests, sizeof digests);
    c[at] = bits;
    if (compute_again) {
        run(gemm, {TILES, 1, 1}, THREADS, 0);
        HOLDS(bad[tile] == 1 && all_bad() == 1);
    }
    run(exact, {N / 64, N / 64, 1}, 256, 0);
    HOLDS(bad[tile] == 1 && all_bad() == 1);
    run(digest, {TILES, 1, 1}, 256, 0);
    for (u32 i = 0; i < TILES; i++) {
        HOLDS((digests[2 * i] != before[2 * i]) == (i == tile));
        HOLDS((digests[2 * i + 1] != before[2 * i + 1]) == (i == tile));
    }
    c[at] = sound;
    run(exact, {N / 64, N / 64, 1}, 256, 0);
    HOLDS(all_bad() == 0);
}

static u64 bad_words()
{
    found[0] = found[2] = 0;
    found[1] = ~0ull;
    run(read, {2, 1, 1}, 96, 0);
    return found[0];
}

static void hold_memory()
{
    for (flip = 0;; flip = ~0ull) {
        run(write, {2, 1, 1}, 96, 0);
        HOLDS(bad_words() == 0);
        u64 words[2] = {memory[0].x, memory[999].y};
        HOLDS(words[0] == pattern(77, 5, flip) && words[1] == pattern(77 + 1999, 5, flip));
        memory[500].y ^= 1ull << 63;
        memory[600].x ^= 2;
        HOLDS(bad_words() == 2 && found[1] == 77 + 1001 && found[2] == (1ull << 63 | 2));
        if (flip)
            return;
    }
}

int main()
{
    hold_fill();
    hold_product();
    hold_fault(300, 511, 0x7FC00000, true); // NaN
    hold_fault(0, 0, c[0] ^ 1, false);
    hold_fault(127, 256, c[127 * N + 256] ^ 1u << 31, false);
    gemm = gemm_int8;
    exact = exact_int8;
    hold_product();
    hold_fault(130, 300, c[130 * N + 300] ^ 1u << 30, false);
    gemm = gemm_fp32;
    exact = exact_fp32;
    hold_product();
    hold_fault(255, 0, 0x7FC00000, true);
    hold_fault(1, 257, c[N + 257] ^ 1, false);
    hold_memory();
    puts("all held");
}
