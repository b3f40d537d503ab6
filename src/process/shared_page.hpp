// SPDX-License-Identifier: MIT
// The one page that a pool and a worker both write: the claims of calls, and the wish to stop one.
#pragma once

#include <cadre/detail/atomic.hpp>

#include <cstddef>
#include <cstdint>
#include <new>

#include "ipc/claim_table.hpp"
#include "ipc/region.hpp"
#include "sync/futex.hpp"

namespace cadre::process {

class shared_page {
 public:
  static shared_page& make_in(const ipc::region& memory) noexcept {
    return *::new (memory.bytes().data()) shared_page;
  }
  static shared_page& find_in(const ipc::region& memory) noexcept {
    return *reinterpret_cast<shared_page*>(memory.bytes().data());
  }

  ipc::claim_table claims;

  /// Parent: asks call `number`, and no other, to stop.
  void request_stop(std::uint64_t number) noexcept {
    // relaxed: the bell below releases it.
    stop_.store(number, std::memory_order_relaxed);
    bell_.fetch_add(1, std::memory_order_release);  // release: pairs with the acquire in bell()
    sync::futex_wake_shared(&bell_);
  }

  /// Worker: sleeps until the bell is no longer `seen`.
  void await_bell(std::uint32_t seen) const noexcept { sync::futex_wait_shared(bell_, seen); }
  std::uint32_t bell() const noexcept {
    return bell_.load(std::memory_order_acquire);  // acquire: pairs with request_stop()
  }
  /// Worker: the call that was asked to stop last.
  std::uint64_t stopped() const noexcept {
    return stop_.load(std::memory_order_relaxed);  // relaxed: after bell(), which acquired it
  }

 private:
  sync::atomic<std::uint64_t> stop_{0};  // numbers begin with 1
  sync::atomic<std::uint32_t> bell_{0};
};

inline constexpr std::size_t shared_page_size = 4096;
static_assert(sizeof(shared_page) <= shared_page_size);

}  // namespace cadre::process
