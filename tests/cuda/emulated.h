// Runs burn.cu on a CPU: a block's threads are fibers that take turns.
//
// What a wrong kernel may rely on and must not is done as late as the rules allow: a cp.async
// arrives only when it is waited for; who does not wait at a barrier runs ahead of the others.

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <vector>

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
typedef unsigned long long u64;

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct uint2 { u32 x, y; };
struct ulonglong2 { u64 x, y; };
struct dim3 { u32 x, y, z; };

static inline uint2 make_uint2(u32 x, u32 y) { return {x, y}; }
static inline ulonglong2 make_ulonglong2(u64 x, u64 y) { return {x, y}; }
static inline u32 __float_as_uint(float f) { u32 u; memcpy(&u, &f, 4); return u; }
static inline float __uint_as_float(u32 u) { float f; memcpy(&f, &u, 4); return f; }
static inline void atomicAdd(u64 *at, u64 more) { *at += more; }
static inline void atomicMin(u64 *at, u64 one) { *at = one < *at ? one : *at; }
static inline void atomicOr(u64 *at, u64 more) { *at |= more; }

static const int MOST = 256;
static const int SHARED = 98304;
alignas(128) static unsigned char shared[SHARED];

static dim3 gridDim, blockDim, blockIdx, threadIdx;

struct Copy { u32 to; const void *from; };

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    bool done;
    std::vector<Copy> open;                 // not committed yet
    std::vector<std::vector<Copy>> groups;  // committed, not arrived
    u32 address;                            // what ldmatrix reads of
    u32 loads;                              // of four numbers, so far
    u32 a[4], b[2];                         // what mma takes
};

static Fiber fibers[MOST];
static ucontext_t scheduler;
static u32 now; // whose turn it is
static u32 arrived[1 + MOST / 32], passed[1 + MOST / 32]; // the block's barrier, then the warps'

static void let_others()
{
    u32 me = now;
    swapcontext(&fibers[me].context, &scheduler);
    threadIdx.x = me;
}

static void meet(int where, u32 count)
{
    u32 mine = passed[where];
    if (++arrived[where] == count) {
        arrived[where] = 0;
        passed[where]++;
    } else
        while (passed[where] == mine)
            let_others();
}

static void __syncthreads() { meet(0, blockDim.x); }
static void meet_warp() { meet(1 + (int)now / 32, 32); }

static u32 shared_address(const void *pointer) { return (u32)((const unsigned char *)pointer - shared); }

static void copy_async(u32 to, const void *from)
{
    assert(to % 16 == 0 && to + 16 <= (u32)SHARED && (uintptr_t)from % 16 == 0);
    memset(shared + to, 0xFF, 16); // NaN until it arrives
    fibers[now].open.push_back({to, from});
}

static void copy_commit()
{
    fibers[now].groups.push_back(fibers[now].open);
    fibers[now].open.clear();
}

template <int PENDING> static void copy_wait()
{
    auto &groups = fibers[now].groups;
    while ((int)groups.size() > PENDING) {
        for (auto &copy : groups.front())
            memcpy(shared + copy.to, copy.from, 16);
        groups.erase(groups.begin());
    }
}

// PTX ISA, ldmatrix: lanes 8i to 8i+7 give the rows of matrix i; a lane gets two elements of each.
static void load_matrices(u32 (&r)[4], u32 from)
{
    assert(from % 16 == 0 && from + 16 <= (u32)SHARED);
    fibers[now].address = from;
    meet_warp();
    u32 first = now / 32 * 32, lane = now % 32;
    u32 banks[4] = {};
    for (int i = 0; i < 4; i++) {
        memcpy(&r[i], shared + fibers[first + i * 8 + lane / 4].address + lane % 4 * 4, 4);
        for (int row = 0; row < 8; row++)
            banks[i] |= 1u << (fibers[first + i * 8 + row].address / 16 % 8);
        assert(banks[i] == 0xFF); // no bank conflict
    }
    meet_warp();
}

static struct { u32 banks[8], places[8], count; } asked[MOST / 8][128];

// Eight lanes at a time are served: of the same place all at once, of one bank one after the other.
static void load_four(float (&r)[4], u32 from)
{
    assert(from % 16 == 0 && from + 16 <= (u32)SHARED);
    memcpy(r, shared + from, 16);
    auto &eight = asked[now / 8][fibers[now].loads++ % 128];
    u32 mine = eight.count++;
    eight.places[mine] = from;
    eight.banks[mine] = from / 16 % 8;
    for (u32 i = 0; i < mine; i++)
        assert(eight.places[i] == from || eight.banks[i] != eight.banks[mine]); // no bank conflict
    eight.count %= 8;
}

static float half_of(u32 pair, int high) { return __uint_as_float(high ? pair & 0xFFFF0000u : pair << 16); }

// PTX ISA, mma.m16n8k16 with .bf16: where each element of A, B and C lies.
static void multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    Fiber &mine = fibers[now];
    memcpy(mine.a, a, 16);
    mine.b[0] = b0;
    mine.b[1] = b1;
    meet_warp();
    u32 first = now / 32 * 32, lane = now % 32;
    for (int i = 0; i < 4; i++) {
        u32 row = lane / 4 + (i >= 2 ? 8 : 0), column = lane % 4 * 2 + (i & 1);
        for (int k = 0; k < 16; k++) {
            Fiber &left = fibers[first + row % 8 * 4 + k % 8 / 2];
            Fiber &right = fibers[first + column * 4 + k % 8 / 2];
            c[i] += half_of(left.a[(row >= 8) + 2 * (k >= 8)], k & 1) * half_of(right.b[k >= 8], k & 1);
        }
    }
    meet_warp();
}

// PTX ISA, mma.m16n8k32 with .s8: the same places, four elements to a register.
static void multiply_add(int (&c)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    Fiber &mine = fibers[now];
    memcpy(mine.a, a, 16);
    mine.b[0] = b0;
    mine.b[1] = b1;
    meet_warp();
    u32 first = now / 32 * 32, lane = now % 32;
    for (int i = 0; i < 4; i++) {
        u32 row = lane / 4 + (i >= 2 ? 8 : 0), column = lane % 4 * 2 + (i & 1);
        for (int k = 0; k < 32; k++) {
            Fiber &left = fibers[first + row % 8 * 4 + k % 16 / 4];
            Fiber &right = fibers[first + column * 4 + k % 16 / 4];
            int x = (signed char)(left.a[(row >= 8) + 2 * (k >= 16)] >> k % 4 * 8);
            c[i] += x * (signed char)(right.b[k >= 16] >> k % 4 * 8);
        }
    }
    meet_warp();
}

static void (*body)();

static void live()
{
    threadIdx.x = now;
    body();
    fibers[now].done = true;
    swapcontext(&fibers[now].context, &scheduler);
}

static void run_block(int order)
{
    memset(arrived, 0, sizeof arrived);
    memset(shared, 0xFF, sizeof shared);
    for (u32 i = 0; i < blockDim.x; i++) {
        Fiber &one = fibers[i];
        one.stack.resize(1 << 16);
        one.done = false;
        one.loads = 0;
        one.open.clear();
        one.groups.clear();
        getcontext(&one.context);
        one.context.uc_stack.ss_sp = one.stack.data();
        one.context.uc_stack.ss_size = one.stack.size();
        makecontext(&one.context, live, 0);
    }
    u32 left = blockDim.x;
    while (left)
        for (u32 i = 0; i < blockDim.x; i++) {
            now = order ? blockDim.x - 1 - i : i;
            if (fibers[now].done)
                continue;
            threadIdx.x = now;
            swapcontext(&scheduler, &fibers[now].context);
            left -= fibers[now].done;
        }
}

// Every block of a grid, in turn; `order`: which threads run ahead.
static void run(void (*kernel)(), dim3 grid, u32 threads, int order)
{
    body = kernel;
    gridDim = grid;
    blockDim = {threads, 1, 1};
    for (u32 y = 0; y < grid.y; y++)
        for (u32 x = 0; x < grid.x; x++) {
            blockIdx = {x, y, 0};
            run_block(order);
        }
}
