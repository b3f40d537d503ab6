// SPDX-License-Identifier: MIT
#include <cadre/retry.hpp>

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <string>

#include "future/waiter.hpp"
#include "sync/parker.hpp"

namespace cadre::detail {
namespace {

double random_share() {
  thread_local std::minstd_rand engine{std::random_device{}()};
  return std::uniform_real_distribution<>{}(engine);
}

time_point end_of_delay(const retry_policy& policy, unsigned attempt) {
  using nanoseconds = std::chrono::duration<double, std::nano>;
  const double growth = std::pow(policy.factor, attempt - 2);
  const nanoseconds full = std::min<nanoseconds>(nanoseconds{policy.first_delay} * growth,
                                                 nanoseconds{policy.max_delay});
  return deadline_after(full * (1 - policy.jitter * random_share()));
}

}  // namespace

void check(const retry_policy& policy) {
  const char* wrong =
      policy.attempts == 0                             ? "attempts must be greater than 0"
      : policy.first_delay < policy.first_delay.zero() ? "first_delay must not be negative"
      : policy.max_delay < policy.max_delay.zero()     ? "max_delay must not be negative"
      : !(policy.factor >= 1)  // not a number is not
          ? "factor must be at least 1"
          : !(policy.jitter >= 0 && policy.jitter <= 1) ? "jitter must be from 0 to 1" : nullptr;
  if (wrong != nullptr) throw std::invalid_argument{std::string{"retry: "} + wrong};
}

bool back_off(const retry_policy& policy, unsigned attempt, const std::stop_token& stop) {
  sync::parker sleeper;
  const auto wake = [&sleeper]() noexcept { sleeper.unpark(); };
  const blocking_scope scope{nullptr, 0, false};
  const std::stop_callback on_stop{stop, wake};
  return !sleeper.park(end_of_delay(policy, attempt));
}

}  // namespace cadre::detail
