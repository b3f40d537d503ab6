// SPDX-License-Identifier: MIT
// Source: sched(7).
#include "base/scheduling.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace cadre {
namespace {

std::vector<std::uint64_t> usable_processors() {
  // The kernel refuses a mask that is smaller than its own.
  constexpr std::size_t most_words = 4096;
  for (std::size_t words = 16; words <= most_words; words *= 2) {
    std::vector<std::uint64_t> mask(words);
    const long size = ::syscall(SYS_sched_getaffinity, 0, words * sizeof mask[0], mask.data());
    if (size > 0) {
      mask.resize(static_cast<std::size_t>(size) / sizeof mask[0]);
      return mask;
    }
    if (errno != EINVAL) break;
  }
  return {};
}

int rank(int policy) noexcept {
  return policy == SCHED_IDLE ? 0 : policy == SCHED_OTHER || policy == SCHED_BATCH ? 1 : 2;
}

}  // namespace

bool scheduling::precedes_this_thread() const noexcept {
  const int present = rank(std::max(::sched_getscheduler(0), 0) & ~SCHED_RESET_ON_FORK);
  if (present != rank(policy)) return present < rank(policy);
  return present == rank(SCHED_OTHER) && ::getpriority(PRIO_PROCESS, 0) > nice;
}

scheduling scheduling::of_this_thread() {
  scheduling now;
  now.cpus = usable_processors();
  now.nice = ::getpriority(PRIO_PROCESS, 0);
  const int policy = std::max(::sched_getscheduler(0), 0);
  now.policy = policy & ~SCHED_RESET_ON_FORK;
  const bool real_time = now.policy == SCHED_FIFO || now.policy == SCHED_RR;
  sched_param parameters{};
  if (real_time && ::sched_getparam(0, &parameters) == 0) now.priority = parameters.sched_priority;
  // What a thread does not pass on: SCHED_DEADLINE (6), and what it was told to keep.
  const bool keeps = (policy & SCHED_RESET_ON_FORK) != 0;
  if (now.policy == SCHED_DEADLINE || (keeps && real_time)) {
    now.policy = SCHED_OTHER;
    now.priority = 0;
  }
  if (keeps) now.nice = std::max(now.nice, 0);
  return now;
}

void scheduling::apply() const noexcept {
  if (!cpus.empty()) {
    ::syscall(SYS_sched_setaffinity, 0, cpus.size() * sizeof cpus[0], cpus.data());
  }
  // Two that are set without need could be refused without need.
  const int present = ::sched_getscheduler(0);
  sched_param parameters{};
  ::sched_getparam(0, &parameters);
  if (present != policy || parameters.sched_priority != priority) {
    parameters.sched_priority = priority;
    ::sched_setscheduler(0, policy, &parameters);
  }
  if (::getpriority(PRIO_PROCESS, 0) != nice) ::setpriority(PRIO_PROCESS, 0, nice);
}

}  // namespace cadre
