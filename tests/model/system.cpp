// SPDX-License-Identifier: MIT
// The definitions of pthread_*() and steady_clock::now() take the place of the system's in the
// whole program: std::thread comes here too.
#include "system.hpp"

#include <dlfcn.h>
#include <pthread.h>
#include <time.h>

#include <cadre_model/futex.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>

#include "scheduler.hpp"

namespace cadre_model {
namespace {

pthread_t taken_over;

/// False on threads that are none of ours, such as a test program's hang detector.
bool in_body() { return active != nullptr && ::pthread_equal(::pthread_self(), taken_over) != 0; }

void on_crash(int signal) {
  if (!in_body()) {
    ::signal(signal, SIG_DFL);
    ::raise(signal);
  }
  active->fail(std::string{"crash: "} + ::strsignal(signal));
}

/// The function that ours hides.
template <typename Function>
Function* hidden(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

system_takeover::system_takeover(scheduler& runs) {
  taken_over = ::pthread_self();
  active = &runs;
  struct sigaction action {};
  action.sa_handler = &on_crash;
  action.sa_flags = SA_NODEFER;  // the handler does not return
  for (std::size_t i = 0; i < std::size(crashes); ++i) {
    ::sigaction(crashes[i], &action, &before_[i]);
  }
}

system_takeover::~system_takeover() {
  for (std::size_t i = 0; i < std::size(crashes); ++i) {
    ::sigaction(crashes[i], &before_[i], nullptr);
  }
  active = nullptr;
}

void detail::announce(const void* address, access kind) noexcept {
  if (in_body()) active->announce(address, kind);
}

void detail::ended(const void* address) noexcept {
  if (in_body()) active->end(address);
}

void detail::record(const char* operation, const void* address, std::uint64_t before,
                    std::uint64_t after) noexcept {
  if (in_body()) active->record(operation, address, before, after);
}

}  // namespace cadre_model

using cadre_model::active;
using cadre_model::hidden;
using cadre_model::in_body;
using cadre_model::model_thread;

namespace cadre::sync {

bool futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
                time_point deadline) noexcept {
  if (in_body()) return active->sleep_if(word, expected, deadline);
  std::fputs("futex_wait: a thread would sleep outside an exploration\n", stderr);
  std::abort();
}

void futex_wake(const atomic<std::uint32_t>* word, int count) noexcept {
  if (in_body()) active->wake(word, count);
}

bool futex_wait_shared(const atomic<std::uint32_t>& word, std::uint32_t expected,
                       time_point deadline) noexcept {
  return futex_wait(word, expected, deadline);
}

void futex_wake_shared(const atomic<std::uint32_t>* word, int count) noexcept {
  futex_wake(word, count);
}

void pause() noexcept {
  if (in_body()) active->pause();
}

void yield() noexcept { pause(); }

}  // namespace cadre::sync

// The time of a schedule passes only by time-outs, and while a thread spins out.
std::chrono::steady_clock::time_point std::chrono::steady_clock::now() noexcept {
  if (in_body()) return active->clock();
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return time_point{std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec}};
}

extern "C" {

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*routine)(void*),
                   void* argument) {
  if (!in_body()) {
    static auto* const create = hidden<decltype(pthread_create)>("pthread_create");
    return create(thread, attributes, routine, argument);
  }
  *thread = reinterpret_cast<pthread_t>(&active->start(routine, argument));
  return 0;
}

int pthread_join(pthread_t thread, void** returned) {
  if (!in_body()) {
    static auto* const join = hidden<decltype(pthread_join)>("pthread_join");
    return join(thread, returned);
  }
  auto* const joined = reinterpret_cast<model_thread*>(thread);
  if (joined == &active->running()) return EDEADLK;
  active->join({&joined, 1});
  if (returned != nullptr) *returned = joined->returned;
  return 0;
}

int pthread_detach(pthread_t thread) {
  if (in_body()) return 0;
  static auto* const detach = hidden<decltype(pthread_detach)>("pthread_detach");
  return detach(thread);
}

int pthread_getattr_np(pthread_t thread, pthread_attr_t* attributes) {
  if (!in_body()) {
    static auto* const get = hidden<decltype(pthread_getattr_np)>("pthread_getattr_np");
    return get(thread, attributes);
  }
  const auto stack = active->running().context.stack();
  ::pthread_attr_init(attributes);
  return ::pthread_attr_setstack(attributes, stack.data(), stack.size());
}

}  // extern "C"
