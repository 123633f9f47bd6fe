/* A clock that is some seconds ahead, for Python and sqlite3: the whole suite runs under it, in .ci/run.
 *
 *   cc -shared -fPIC -O2 -o clock_ahead.so clock_ahead.c -ldl
 *   CLOCK_AHEAD_S=31536000 LD_PRELOAD=$PWD/clock_ahead.so pytest
 *
 * Only the calendar moves (SQLite's too), and with it the times of files; what sleeps and waits by the monotonic
 * clock is left alone. libfaketime 0.9.10 does not do: under it Python's time.sleep fails, and files keep their times.
 * Servers that are other programs keep the real clock: they wait until a moment of the calendar.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

static time_t ahead_s;

__attribute__((constructor)) static void begin(void) {
    const char *program = program_invocation_short_name;
    const char *seconds = getenv("CLOCK_AHEAD_S");
    if (seconds && (strstr(program, "py") || strstr(program, "sqlite3"))) ahead_s = atol(seconds);
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t clock, struct timespec *found) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int failed = real(clock, found);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) found->tv_sec += ahead_s;
    return failed;
}

int gettimeofday(struct timeval *restrict found, void *restrict zone) {
    REAL(int, gettimeofday, struct timeval *, void *);
    int failed = real(found, zone);
    if (!failed) found->tv_sec += ahead_s;
    return failed;
}

time_t time(time_t *found) {
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    if (found) *found = moment.tv_sec;
    return moment.tv_sec;
}

static int moved(int failed, struct stat64 *file) {
    if (!failed) {
        file->st_atim.tv_sec += ahead_s;
        file->st_mtim.tv_sec += ahead_s;
        file->st_ctim.tv_sec += ahead_s;
    }
    return failed;
}

int stat64(const char *restrict path, struct stat64 *restrict found) {
    REAL(int, stat64, const char *, struct stat64 *);
    return moved(real(path, found), found);
}

int lstat64(const char *restrict path, struct stat64 *restrict found) {
    REAL(int, lstat64, const char *, struct stat64 *);
    return moved(real(path, found), found);
}

int fstat64(int file, struct stat64 *found) {
    REAL(int, fstat64, int, struct stat64 *);
    return moved(real(file, found), found);
}

int fstatat64(int folder, const char *restrict path, struct stat64 *restrict found, int flags) {
    REAL(int, fstatat64, int, const char *, struct stat64 *, int);
    return moved(real(folder, path, found, flags), found);
}

static const struct timespec *put_back(const struct timespec *wanted, struct timespec *kept) {
    if (!wanted) return NULL; /* now: the kernel's, which stat moves */
    for (int i = 0; i < 2; i++) {
        kept[i] = wanted[i];
        if (kept[i].tv_nsec != UTIME_NOW && kept[i].tv_nsec != UTIME_OMIT) kept[i].tv_sec -= ahead_s;
    }
    return kept;
}

int utimensat(int folder, const char *path, const struct timespec wanted[2], int flags) {
    REAL(int, utimensat, int, const char *, const struct timespec *, int);
    struct timespec kept[2];
    return real(folder, path, put_back(wanted, kept), flags);
}

int futimens(int file, const struct timespec wanted[2]) {
    REAL(int, futimens, int, const struct timespec *);
    struct timespec kept[2];
    return real(file, put_back(wanted, kept));
}
