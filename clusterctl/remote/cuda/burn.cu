// What the built-in engine computes on a GPU.  burn.ptx beside it is made of this by tests/cuda/build.
//
// A and B hold whole numbers from -127 to 127, which bf16, fp32 and int8 hold exactly.  Their products and,
// up to a size of 16384, the sums (below 2^24 by more than 20 standard deviations, and below 2^31
// surely) are exact in float and in int32, so C is the same bits on every GPU, whatever the order of
// additions: a wrong bit is the GPU's fault.
// All eight bits of the significand and the sign vary, as they must for a load that draws power.
//
// No atomics on floats.  Comparisons are of bits, so NaN is as wrong as anything else.

#ifndef EMULATED // tests/cuda/emulated.h runs this file on a CPU

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
typedef unsigned long long u64;

__device__ __forceinline__ u32 shared_address(const void *pointer)
{
    return (u32)__cvta_generic_to_shared(pointer);
}

__device__ __forceinline__ void copy_async(u32 to, const void *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

__device__ __forceinline__ void copy_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int PENDING> __device__ __forceinline__ void copy_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

__device__ __forceinline__ void load_matrices(u32 (&r)[4], u32 from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
}

__device__ __forceinline__ void multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void multiply_add(int (&c)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four numbers of a line.
__device__ __forceinline__ void load_four(float (&r)[4], u32 from)
{
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(r[0]), "=f"(r[1]), "=f"(r[2]), "=f"(r[3])
                 : "r"(from)
                 : "memory");
}

extern __shared__ __align__(128) unsigned char shared[];

#endif

// ---------------------------------------------------------------------------- whole numbers

// cuda_load.py computes the same: `element`.
__device__ __forceinline__ int element(u32 index, u32 seed)
{
    u32 h = index * 0x9E3779B9u + seed;
    h ^= h >> 16;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13;
    h *= 0xC2B2AE35u;
    h ^= h >> 16;
    return (int)(((h & 0xFFFFu) * 255u) >> 16) - 127;
}

__device__ __forceinline__ u64 mixed(u64 x)
{
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9ull;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

extern "C" __global__ void burn_fill(u16 *out, u64 count, u32 seed)
{
    u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
        out[i] = (u16)(__float_as_uint((float)element((u32)i, seed)) >> 16);
}

extern "C" __global__ void burn_fill_int8(u8 *out, u64 count, u32 seed)
{
    u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
        out[i] = (u8)element((u32)i, seed);
}

extern "C" __global__ void burn_fill_fp32(float *out, u64 count, u32 seed)
{
    u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
        out[i] = (float)element((u32)i, seed);
}

__device__ __forceinline__ int number(u16 bf16) { return (int)__uint_as_float((u32)bf16 << 16); }
__device__ __forceinline__ int number(u8 int8) { return (signed char)int8; }
__device__ __forceinline__ int number(float fp32) { return (int)fp32; }

__device__ __forceinline__ u32 bits_of(float sum) { return __float_as_uint(sum); }
__device__ __forceinline__ u32 bits_of(int sum) { return (u32)sum; }

// ---------------------------------------------------------------------------- the tensor cores

// C = A·Bᵀ, all three with rows of n: both operands are read along k.  n is a multiple of 256.
// 256 threads, SHARED_BYTES of dynamic shared memory, a block for each tile of 128 rows and 256
// columns; eight warps of 64 × 64.

const int ROWS = 128, COLUMNS = 256, STAGES = 4, THREADS = 256;
const int LINE_BYTES = 64; // of each row at a time: 32 of bf16, 64 of int8, 16 of fp32
const int STAGE_BYTES = (ROWS + COLUMNS) * LINE_BYTES; // four: 98304, and sm_86 has 101376
const int GROUP = 8;                                   // rows of tiles that share B in the L2 cache

// Where 16 bytes of a line lie, so that ldmatrix finds its eight lines in eight different banks.
__device__ __forceinline__ u32 place(int line, int chunk)
{
    return (u32)(line * LINE_BYTES + ((chunk ^ ((line >> 1) & 3)) << 4));
}

__device__ __forceinline__ void load_stage(u32 to, const u8 *a, const u8 *b, int row_bytes, int thread)
{
#pragma unroll
    for (int i = 0; i < ROWS * 4 / THREADS; i++) {
        int line = (thread + i * THREADS) >> 2, chunk = thread & 3;
        copy_async(to + place(line, chunk), a + (u64)line * row_bytes + chunk * 16);
    }
#pragma unroll
    for (int i = 0; i < COLUMNS * 4 / THREADS; i++) {
        int line = (thread + i * THREADS) >> 2, chunk = thread & 3;
        copy_async(to + ROWS * LINE_BYTES + place(line, chunk), b + (u64)line * row_bytes + chunk * 16);
    }
}

struct Fragments {
    u32 a[4][4]; // 16 rows each
    u32 b[4][4]; // 16 columns each
};

__device__ __forceinline__ void load_fragments(Fragments &f, u32 from, int warp, int lane, int half)
{
    int row = (warp & 1) * 64 + (lane & 15), column = (warp >> 1) * 64 + (lane & 7) + ((lane >> 4) << 3);
#pragma unroll
    for (int i = 0; i < 4; i++)
        load_matrices(f.a[i], from + place(row + i * 16, half * 2 + (lane >> 4)));
#pragma unroll
    for (int i = 0; i < 4; i++)
        load_matrices(f.b[i], from + ROWS * LINE_BYTES +
                                  place(column + i * 16, half * 2 + ((lane >> 3) & 1)));
}

__device__ __forceinline__ u32 differs(u32 *at, u32 left, u32 right, u32 store)
{
    if (store) {
        *(uint2 *)at = make_uint2(left, right);
        return 0;
    }
    uint2 kept = *(const uint2 *)at;
    return (kept.x != left) + (kept.y != right);
}

// `store`: keep the result in C; else compare with what is there: bad[tile] counts what differs.
// Both kinds of element lie in memory and in registers as bytes do: mma alone knows what they are.
template <class SUM, int ELEMENT_BYTES>
__device__ __forceinline__ void gemm_of(const u8 *a, const u8 *b, u32 *c, u32 n, u32 store, u64 *bad)
{
    const int thread = (int)threadIdx.x, warp = thread >> 5, lane = thread & 31;
    const int tall = (int)n / ROWS, wide = (int)n / COLUMNS;
    const int band = (int)blockIdx.x / (GROUP * wide), first = band * GROUP;
    const int high = tall - first < GROUP ? tall - first : GROUP;
    const int within = (int)blockIdx.x - band * GROUP * wide;
    const int tile_row = first + within % high, tile_column = within / high;
    const int row_bytes = (int)n * ELEMENT_BYTES, steps = row_bytes / LINE_BYTES;
    const u32 base = shared_address(shared);

    a += (u64)tile_row * ROWS * row_bytes;
    b += (u64)tile_column * COLUMNS * row_bytes;

#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++) {
        load_stage(base + stage * STAGE_BYTES, a + stage * LINE_BYTES, b + stage * LINE_BYTES, row_bytes,
                   thread);
        copy_commit();
    }
    a += (STAGES - 1) * LINE_BYTES;
    b += (STAGES - 1) * LINE_BYTES;

    SUM sum[4][8][4] = {};
    Fragments fragments[2];
    copy_wait<STAGES - 2>();
    __syncthreads();
    load_fragments(fragments[0], base, warp, lane, 0);

    int reading = 0, writing = STAGES - 1;
    for (int step = 0; step < steps; step++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            if (half == 0) {
                load_fragments(fragments[1], base + reading * STAGE_BYTES, warp, lane, 1);
                if (step + STAGES - 1 < steps)
                    load_stage(base + writing * STAGE_BYTES, a, b, row_bytes, thread);
                copy_commit(); // an empty one too: the count of groups is what is waited for
                a += LINE_BYTES;
                b += LINE_BYTES;
                writing = writing == STAGES - 1 ? 0 : writing + 1;
            } else {
                reading = reading == STAGES - 1 ? 0 : reading + 1;
                copy_wait<STAGES - 2>();
                __syncthreads();
                load_fragments(fragments[0], base + reading * STAGE_BYTES, warp, lane, 0);
            }
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 8; j++)
                    multiply_add(sum[i][j], fragments[half].a[i],
                                 fragments[half].b[j >> 1][(j & 1) * 2],
                                 fragments[half].b[j >> 1][(j & 1) * 2 + 1]);
        }
    }

    const int row = tile_row * ROWS + (warp & 1) * 64 + (lane >> 2);
    const int column = tile_column * COLUMNS + (warp >> 1) * 64 + (lane & 3) * 2;
    u32 wrong = 0;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) {
            u32 *at = c + (u64)(row + i * 16) * n + column + j * 8;
            wrong += differs(at, bits_of(sum[i][j][0]), bits_of(sum[i][j][1]), store);
            wrong += differs(at + (u64)8 * n, bits_of(sum[i][j][2]), bits_of(sum[i][j][3]), store);
        }
    if (wrong)
        atomicAdd(bad + tile_row * wide + tile_column, (u64)wrong);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    burn_gemm(const u8 *a, const u8 *b, u32 *c, u32 n, u32 store, u64 *bad)
{
    gemm_of<float, 2>(a, b, c, n, store, bad);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    burn_gemm_int8(const u8 *a, const u8 *b, u32 *c, u32 n, u32 store, u64 *bad)
{
    gemm_of<int, 1>(a, b, c, n, store, bad);
}

// ---------------------------------------------------------------------------- the FMA units

// The same product and the same tiles without the tensor cores, in fp32: the units that everything
// but matrices runs on.  Each thread has 8 × 16 elements; four numbers of a line are read at once.
extern "C" __global__ void __launch_bounds__(256, 1)
    burn_gemm_fp32(const u8 *a, const u8 *b, u32 *c, u32 n, u32 store, u64 *bad)
{
    const int thread = (int)threadIdx.x, warp = thread >> 5, lane = thread & 31;
    const int high = (warp & 3) * 4 + (lane >> 3), across = (warp >> 2) * 8 + (lane & 7);
    const int wide = (int)n / COLUMNS;
    const int tile_row = (int)blockIdx.x / wide, tile_column = (int)blockIdx.x % wide;
    const int row_bytes = (int)n * 4, steps = row_bytes / LINE_BYTES;
    const u32 base = shared_address(shared);

    a += (u64)tile_row * ROWS * row_bytes;
    b += (u64)tile_column * COLUMNS * row_bytes;

    for (int stage = 0; stage < STAGES - 1; stage++) {
        load_stage(base + stage * STAGE_BYTES, a + stage * LINE_BYTES, b + stage * LINE_BYTES, row_bytes,
                   thread);
        copy_commit();
    }

    float sum[8][16] = {};
    for (int step = 0; step < steps; step++) {
        const u32 from = base + step % STAGES * STAGE_BYTES;
        const int next = step + STAGES - 1;
        copy_wait<STAGES - 2>();
        __syncthreads();
        if (next < steps)
            load_stage(base + next % STAGES * STAGE_BYTES, a + (u64)next * LINE_BYTES,
                       b + (u64)next * LINE_BYTES, row_bytes, thread);
        copy_commit(); // an empty one too: the count of groups is what is waited for
#pragma unroll 1
        for (int chunk = 0; chunk < 4; chunk++) {
            float left[8][4], right[4];
#pragma unroll
            for (int i = 0; i < 8; i++)
                load_four(left[i], from + place(high + i * 16, chunk));
#pragma unroll
            for (int j = 0; j < 16; j++) {
                load_four(right, from + ROWS * LINE_BYTES + place(across + j * 16, chunk));
#pragma unroll
                for (int k = 0; k < 4; k++)
#pragma unroll
                    for (int i = 0; i < 8; i++)
                        sum[i][j] += left[i][k] * right[k];
            }
        }
    }

    u32 wrong = 0;
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 16; j++) {
            u32 *at = c + (u64)(tile_row * ROWS + high + i * 16) * n + tile_column * COLUMNS + across +
                      j * 16;
            if (store)
                *at = bits_of(sum[i][j]);
            else
                wrong += *at != bits_of(sum[i][j]);
        }
    if (wrong)
        atomicAdd(bad + tile_row * wide + tile_column, (u64)wrong);
}

// ---------------------------------------------------------------------------- checks of C

// Every element again with the integer units, which share nothing with the units above.  One block
// of 256 threads for 64 × 64 elements; bad[tile], of 128 × 256 as above, counts what differs.
template <class SUM, class ELEMENT>
__device__ __forceinline__ void exact_of(const ELEMENT *a, const ELEMENT *b, const u32 *c, u32 n,
                                         u64 *bad)
{
    __shared__ int left[32][65], right[32][65];
    const int x = (int)threadIdx.x & 15, y = (int)threadIdx.x >> 4;
    const u32 row = blockIdx.y * 64, column = blockIdx.x * 64;
    int sum[4][4] = {};
    for (u32 k = 0; k < n; k += 32) {
        for (int i = (int)threadIdx.x; i < 64 * 32; i += 256) {
            u64 line = (u64)(i >> 5), at = k + (i & 31);
            left[i & 31][i >> 5] = number(a[(row + line) * n + at]);
            right[i & 31][i >> 5] = number(b[(column + line) * n + at]);
        }
        __syncthreads();
#pragma unroll 8
        for (int depth = 0; depth < 32; depth++)
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sum[i][j] += left[depth][y + i * 16] * right[depth][x + j * 16];
        __syncthreads();
    }
    u32 wrong = 0;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            u32 bits = c[(u64)(row + y + i * 16) * n + column + x + j * 16];
            if (bits == 0x80000000u) // a float sum that cancels out may keep the sign; no int sum is that
                bits = 0;
            wrong += bits != bits_of((SUM)sum[i][j]);
        }
    if (wrong)
        atomicAdd(bad + row / ROWS * (n / COLUMNS) + column / COLUMNS, (u64)wrong);
}

extern "C" __global__ void __launch_bounds__(256)
    burn_exact(const u16 *a, const u16 *b, const u32 *c, u32 n, u64 *bad)
{
    exact_of<float>(a, b, c, n, bad);
}

extern "C" __global__ void __launch_bounds__(256)
    burn_exact_int8(const u8 *a, const u8 *b, const u32 *c, u32 n, u64 *bad)
{
    exact_of<int>(a, b, c, n, bad);
}

extern "C" __global__ void __launch_bounds__(256)
    burn_exact_fp32(const float *a, const float *b, const u32 *c, u32 n, u64 *bad)
{
    exact_of<float>(a, b, c, n, bad);
}

// 128 bits for each tile, the same whatever the order: the sum and the exclusive or of two mixtures
// of each element's bits with its place.  A block of 256 threads for each tile.
extern "C" __global__ void burn_digest(const u32 *c, u32 n, u64 *digests)
{
    __shared__ u64 sums[256], flips[256];
    const u32 wide = n / COLUMNS;
    const u32 row = blockIdx.x / wide * ROWS, column = blockIdx.x % wide * COLUMNS + threadIdx.x;
    u64 sum = 0, flip = 0;
    for (int i = 0; i < ROWS; i++) {
        u64 at = (u64)(row + i) * n + column, x = mixed(at << 32 | c[at]);
        sum += x;
        flip ^= mixed(x + 0x9E3779B97F4A7C15ull);
    }
    sums[threadIdx.x] = sum;
    flips[threadIdx.x] = flip;
    __syncthreads();
    for (u32 half = 128; half; half >>= 1) {
        if (threadIdx.x < half) {
            sums[threadIdx.x] += sums[threadIdx.x + half];
            flips[threadIdx.x] ^= flips[threadIdx.x + half];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        digests[2 * blockIdx.x] = sums[0];
        digests[2 * blockIdx.x + 1] = flips[0];
    }
}

// ---------------------------------------------------------------------------- memory

// What belongs at a place: no two places have the same, so an address line that is stuck shows.
__device__ __forceinline__ u64 pattern(u64 place, u64 seed, u64 flip)
{
    u64 x = (place + seed) * 0x9E3779B97F4A7C15ull;
    return (x ^ (x >> 32)) ^ flip;
}

// `count` pairs of 64 bits at `at`; `base`: the place of the first of them; `flip`: 0, or all ones
// for the complement.
extern "C" __global__ void burn_write(ulonglong2 *at, u64 count, u64 base, u64 seed, u64 flip)
{
    u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
        at[i] = make_ulonglong2(pattern(base + 2 * i, seed, flip), pattern(base + 2 * i + 1, seed, flip));
}

// found: how many words of 64 bits differ, the place of the first, every bit that flipped.
extern "C" __global__ void burn_read(const ulonglong2 *at, u64 count, u64 base, u64 seed, u64 flip,
                                     u64 *found)
{
    u64 step = (u64)gridDim.x * blockDim.x, wrong = 0, first = ~0ull, bits = 0;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        ulonglong2 seen = at[i];
        u64 x = seen.x ^ pattern(base + 2 * i, seed, flip);
        u64 y = seen.y ^ pattern(base + 2 * i + 1, seed, flip);
        if (x | y) {
            u64 place = base + 2 * i + (x == 0);
            wrong += (x != 0) + (y != 0);
            first = place < first ? place : first;
            bits |= x | y;
        }
    }
    if (wrong) {
        atomicAdd(found, wrong);
        atomicMin(found + 1, first);
        atomicOr(found + 2, bits);
    }
}
