// SPDX-License-Identifier: MIT
#include <cadre/detail/call.hpp>
#include <cadre/errors.hpp>
#include <cadre/this_worker.hpp>

#include "executor/worker_identity.hpp"
#include "future/waiter.hpp"

namespace cadre {
namespace {

struct context_object {
  const std::type_info* type = nullptr;  // null: none
  void* object = nullptr;
  void (*destroy)(void*) noexcept = nullptr;
};

constinit thread_local detail::worker_identity here{};
constinit thread_local context_object own_context{};

}  // namespace

namespace detail {

void set_worker_identity(const worker_identity& identity) noexcept { here = identity; }

void clear_worker_context() noexcept {
  const context_object old = std::exchange(own_context, {});
  if (old.type != nullptr) old.destroy(old.object);
}

void* worker_context(const std::type_info& type) noexcept {
  return own_context.type != nullptr && *own_context.type == type ? own_context.object : nullptr;
}

void require_worker() {
  if (here.index) return;
  throw invalid_state_error{
      "this_worker: the calling thread is no worker, so it cannot have a context object; call "
      "emplace_context in the initializer of a pool, or in a call"};
}

void set_worker_context(const std::type_info& type, void* object,
                        void (*destroy)(void*) noexcept) noexcept {
  clear_worker_context();
  own_context = {&type, object, destroy};
}

}  // namespace detail

namespace this_worker {

std::optional<unsigned> index() noexcept { return here.index; }
std::string_view pool() noexcept { return here.pool; }

std::string name() {
  return here.index ? std::string{here.pool} + '_' + std::to_string(*here.index) : std::string{};
}

local_executor* executor() noexcept {
  // acquire: pairs with the release of the pool's constructor and destructor.
  return here.executor != nullptr ? here.executor->load(std::memory_order_acquire) : nullptr;
}

std::stop_token stop_token() noexcept {
  const std::stop_token* token = detail::this_thread_token();
  return token != nullptr ? *token : std::stop_token{};
}

}  // namespace this_worker
}  // namespace cadre
