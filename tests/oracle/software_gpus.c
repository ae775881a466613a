/* Software devices that libllama takes for GPUs: its own RPC back end, whose server runs in the same process on the loopback and computes
 * on the CPU. Preloaded into tokengeom; $SOFTWARE_GPUS says how many. */
#include <arpa/inet.h>
#include <errno.h>
#include <ggml-rpc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 4 };
static char endpoints[MOST][32];

/* A port of the loopback that is free now. */
static struct sockaddr_in free_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || getsockname(fd, (struct sockaddr *)&address, &size))
    abort();
  close(fd);
  return address;
}

static void wait_for(struct sockaddr_in address) {
  for (int there = 0, tries = 0; !there; tries++, usleep(10000)) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    there = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    if (tries > 6000) abort();
  }
}

static void *serve(void *endpoint) {
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  ggml_backend_rpc_start_server(endpoint, NULL, 1, 1, &cpu);
  return NULL;
}

__attribute__((constructor)) static void begin(void) {
  const char *number = getenv("SOFTWARE_GPUS");
  pthread_t thread;
  if (!number || strcmp(program_invocation_short_name, "tokengeom") != 0) return;
  for (int a = 0; a < atoi(number) && a < MOST; a++) {
    const struct sockaddr_in address = free_port();
    snprintf(endpoints[a], sizeof endpoints[a], "127.0.0.1:%d", ntohs(address.sin_port));
    if (pthread_create(&thread, NULL, serve, endpoints[a])) abort();
    wait_for(address);
    ggml_backend_register(ggml_backend_rpc_add_server(endpoints[a]));
  }
}
