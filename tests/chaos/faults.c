/* Fails one call of the system under one directory, in whichever process of a run makes it; and
 * refuses processes and threads from some number of them on.
 *
 * LD_FAULT_ROOT: the directory. LD_FAULT_FILE: a file of 4096 bytes that all processes share: the
 * calls so far, the number of the one that fails (0: none), its errno, the processes and threads
 * so far, how many of them there may be (0: any), and the call that failed as text.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct shared {
    int64_t calls, fails, error, starts, most;
    char what[4056];
};

static struct shared *shared;
static const char *root;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("LD_FAULT_FILE");
    root = getenv("LD_FAULT_ROOT");
    if (file == NULL || root == NULL) return;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *page = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED) shared = page;
}

static int below(const char *path) {
    size_t length = strlen(root);
    return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* Whether this call is the one; errno is set then. */
static int strikes(const char *name, const char *path) {
    if (shared == NULL || path == NULL || !below(path)) return 0;
    if (__atomic_add_fetch(&shared->calls, 1, __ATOMIC_SEQ_CST) != shared->fails) return 0;
    snprintf(shared->what, sizeof shared->what, "%s %s", name, path + strlen(root));
    errno = (int)shared->error;
    return 1;
}

static int strikes_fd(const char *name, int fd) {
    char link[64], path[4096];
    if (shared == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strikes(name, path);
}

static int strikes_at(const char *name, int at, const char *path) {
    char link[64], whole[8192];
    if (shared == NULL || path == NULL) return 0;
    if (path[0] == '/') return strikes(name, path);
    if (at == AT_FDCWD) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, whole, 4095);
    if (length < 0) return 0;
    snprintf(whole + length, sizeof whole - length, "/%s", path);
    return strikes(name, whole);
}

#define REAL(type, name, ...)                                   \
    static type (*real)(__VA_ARGS__);                           \
    if (real == NULL) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define MODE(flags)                                             \
    mode_t mode = 0;                                            \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                      \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        mode = va_arg(rest, mode_t);                            \
        va_end(rest);                                           \
    }

#define OPEN(name)                                              \
    int name(const char *path, int flags, ...) {                \
        MODE(flags)                                             \
        REAL(int, name, const char *, int, ...);                \
        return strikes("open", path) ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                            \
    int name(int at, const char *path, int flags, ...) {        \
        MODE(flags)                                             \
        REAL(int, name, int, const char *, int, ...);           \
        return strikes_at("open", at, path) ? -1 : real(at, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                             \
    FILE *name(const char *path, const char *how) {             \
        REAL(FILE *, name, const char *, const char *);         \
        return strikes("open", path) ? NULL : real(path, how);  \
    }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    return strikes_fd("write", fd) ? -1 : real(fd, data, size);
}

#define PWRITE(name)                                            \
    ssize_t name(int fd, const void *data, size_t size, off_t at) { \
        REAL(ssize_t, name, int, const void *, size_t, off_t);  \
        return strikes_fd("pwrite", fd) ? -1 : real(fd, data, size, at); \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

int fsync(int fd) {
    REAL(int, fsync, int);
    return strikes_fd("fsync", fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return strikes_fd("fsync", fd) ? -1 : real(fd);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    return strikes("mkdir", path) ? -1 : real(path, mode);
}

int mkdirat(int at, const char *path, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    return strikes_at("mkdir", at, path) ? -1 : real(at, path, mode);
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    return strikes("rename", to) ? -1 : real(from, to);
}

int renameat(int from_at, const char *from, int at, const char *to) {
    REAL(int, renameat, int, const char *, int, const char *);
    return strikes_at("rename", at, to) ? -1 : real(from_at, from, at, to);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    return strikes("unlink", path) ? -1 : real(path);
}

int unlinkat(int at, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    return strikes_at("unlink", at, path) ? -1 : real(at, path, flags);
}

int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    return strikes("unlink", path) ? -1 : real(path);
}

/* Whether there are enough of them. */
static int enough(void) {
    if (shared == NULL) return 0;
    int64_t number = __atomic_add_fetch(&shared->starts, 1, __ATOMIC_SEQ_CST);
    return shared->most > 0 && number > shared->most;
}

pid_t fork(void) {
    REAL(pid_t, fork, void);
    if (enough()) {
        errno = EAGAIN;
        return -1;
    }
    return real();
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*body)(void *), void *data) {
    REAL(int, pthread_create, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    return enough() ? EAGAIN : real(thread, how, body, data);
}
