// SPDX-License-Identifier: MIT
// this_worker: which worker runs the calling code, and what belongs to it.
//
//     cadre::thread_pool_executor pool{{.initializer = [] {
//       cadre::this_worker::emplace_context<connection>("db:5432");
//     }}};
//     pool.submit([] { return cadre::this_worker::context<connection>()->query("..."); });
//
// Threads    Asks about the calling thread: a worker of a thread pool, or that thread of a worker
//            process which runs the calls.
// Cost       A thread_local variable.
#pragma once

#include <cadre/config.hpp>

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>

namespace cadre {

class local_executor;

namespace detail {

CADRE_API void* worker_context(const std::type_info& type) noexcept;
CADRE_API void require_worker();
/// Takes over `object`, which the worker destroys at its end.
CADRE_API void set_worker_context(const std::type_info& type, void* object,
                                  void (*destroy)(void*) noexcept) noexcept;

}  // namespace detail

namespace this_worker {

/// The number of the worker in its pool, from 0; no two that live at the same time have the same.
/// None if the calling thread is no worker. A thread pool whose workers are blocked may number more
/// of them than its max_workers.
CADRE_API std::optional<unsigned> index() noexcept;

/// The thread_name_prefix of its thread pool, or the name of its process pool; empty if the calling
/// thread is no worker. Valid as long as the worker lives.
CADRE_API std::string_view pool() noexcept;

/// pool() and index() as one: "<pool>_<index>"; empty if the calling thread is no worker.
CADRE_API std::string name();

/// The thread pool whose worker this is. Null if the calling thread is no worker, if the pool was
/// destroyed by one of its calls, and in a worker process, whose pool is in another one.
CADRE_API local_executor* executor() noexcept;

/// The token of the call that runs here: the one that it is given if it takes one, else the one it
/// was submitted with. Without either, outside of calls, and in done callbacks and functions given to
/// then(), which run on a thread by chance, a token that is never stopped. In a worker process: that of
/// a call that takes one. A task asks this_task::stop_token() instead.
CADRE_API std::stop_token stop_token() noexcept;

/// Makes the worker's one context object, in place of the one before. It is destroyed on the worker,
/// after the finalizer. For initializers. Throws invalid_state_error if the calling thread is no
/// worker, and what the constructor throws.
template <typename T, typename... Args>
T& emplace_context(Args&&... args) {
  detail::require_worker();
  T* object = new T(std::forward<Args>(args)...);
  detail::set_worker_context(typeid(T), object,
                             [](void* p) noexcept { delete static_cast<T*>(p); });
  return *object;
}

/// The worker's context object; null if it has none, or one of another type.
template <typename T>
T* context() noexcept {
  return static_cast<T*>(detail::worker_context(typeid(T)));
}

}  // namespace this_worker
}  // namespace cadre
