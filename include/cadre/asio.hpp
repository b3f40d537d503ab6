// SPDX-License-Identifier: MIT
// async_submit and async_get: calls and futures as asynchronous operations of Asio.
//
//     asio::awaitable<void> session(tcp::socket s, cadre::executor& cpu) {
//       std::string line = co_await read_line(s);
//       auto reply = co_await cadre::async_submit(cpu, cadre::bind(&parse, line), asio::use_awaitable);
//       co_await write_line(s, reply);
//     }
//
// Which      Link cadre::asio for standalone Asio, or cadre::boost_asio for Boost.Asio: that defines
//            CADRE_BOOST_ASIO, which must be the same in all files of a program.
// Tokens     Any completion token: callbacks, use_future, use_awaitable, ... The signature is
//            void(std::exception_ptr, T), or void(std::exception_ptr) for a call that returns void.
//            On an error, T is value-initialised, as with co_spawn.
// Threads    The handler runs on its associated executor, never inside the initiating function. An
//            io_context does not run out of work meanwhile.
// Cancelling A cancellation slot (Asio 1.19, Boost 1.77) reaches the call: the types terminal and
//            partial are request_stop(), total is cancel(), for then nothing may have happened. A
//            call that was cancelled completes with cancelled_error; one that is running completes
//            when it ends.
// Errors     What submit() throws is what the operation completes with.
// Lifetime   The io_context must outlive the calls: declare it before the executor.
// Cost       Besides the call, one heap block for the callback, and what Asio needs to post.
// Source     asyncio's loop.run_in_executor and wrap_future.
#pragma once

#include <cadre/config.hpp>
#include <cadre/executor.hpp>
#include <cadre/future.hpp>
#include <cadre/local_executor.hpp>
#include <cadre/promise.hpp>

#include <concepts>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#ifdef CADRE_BOOST_ASIO
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/version.hpp>
#if BOOST_ASIO_VERSION >= 101900
#define CADRE_ASIO_CANCELS 1
#include <boost/asio/associated_cancellation_slot.hpp>
#endif
#else
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/version.hpp>
#if ASIO_VERSION >= 101900
#define CADRE_ASIO_CANCELS 1
#include <asio/associated_cancellation_slot.hpp>
#endif
#endif

namespace cadre {
namespace detail {

#ifdef CADRE_BOOST_ASIO
namespace net = boost::asio;
#else
namespace net = ::asio;
#endif

template <typename T>
struct asio_signature {
  static_assert(std::is_default_constructible_v<T>,
                "cadre: Asio needs a value also for an operation that failed: let the call return "
                "a std::optional of this type");
  using type = void(std::exception_ptr, T);
};
template <typename T>
struct asio_signature<T&> {
  using type = void(std::exception_ptr, T*);
};
template <>
struct asio_signature<void> {
  using type = void(std::exception_ptr);
};

template <typename Handler>
void connect_slot([[maybe_unused]] Handler& handler, [[maybe_unused]] const auto& f) {
#ifdef CADRE_ASIO_CANCELS
  auto slot = net::get_associated_cancellation_slot(handler);
  if (!slot.is_connected()) return;
  slot.assign([f](net::cancellation_type type) {
    const bool may_have_effects =
        (type & (net::cancellation_type::terminal | net::cancellation_type::partial)) !=
        net::cancellation_type::none;
    may_have_effects ? f.request_stop() : f.cancel();
  });
#endif
}

template <typename Handler>
void disconnect_slot([[maybe_unused]] Handler& handler) {
#ifdef CADRE_ASIO_CANCELS
  auto slot = net::get_associated_cancellation_slot(handler);
  if (slot.is_connected()) slot.clear();
#endif
}

/// On the handler's executor. `Moves`: nobody else will ask the future.
template <bool Moves, typename T, typename Handler>
void complete(Handler& handler, future<T>& f) {
  disconnect_slot(handler);
  std::exception_ptr error;
  if constexpr (std::is_void_v<T>) {
    try {
      f.get();
    } catch (...) {
      error = std::current_exception();
    }
    std::move(handler)(error);
  } else if constexpr (std::is_reference_v<T>) {
    std::remove_reference_t<T>* value = nullptr;
    try {
      value = &f.get();
    } catch (...) {
      error = std::current_exception();
    }
    std::move(handler)(error, value);
  } else {
    std::optional<T> value;
    try {
      if constexpr (Moves) {
        value.emplace(std::move(f).get());
      } else {
        value.emplace(f.get());
      }
    } catch (...) {
      error = std::current_exception();
    }
    std::move(handler)(error, value ? std::move(*value) : T{});
  }
}

/// Lets the handler's executor complete the operation when `f` is done.
template <bool Moves, typename T, typename Handler>
void deliver(const future<T>& f, Handler handler) {
  connect_slot(handler, f);
  auto work = net::make_work_guard(net::get_associated_executor(handler));
  f.add_done_callback(
      [work = std::move(work), handler = std::move(handler)](future<T> done) mutable {
        const auto where = work.get_executor();
        net::post(where, [work = std::move(work), handler = std::move(handler),
                          done = std::move(done)]() mutable {
          work.reset();
          complete<Moves>(handler, done);
        });
      });
}

template <bool Moves, typename T, typename Token>
auto async_get(future<T> f, Token&& token) {
  return net::async_initiate<Token, typename asio_signature<T>::type>(
      [](auto handler, const future<T>& given) { deliver<Moves>(given, std::move(handler)); },
      token, std::move(f));
}

}  // namespace detail

/// Completes with the result of `f`: of an lvalue with a copy, so that others can ask, too; of an
/// rvalue, the value is moved out. Does not block. Throws invalid_state_error for an empty future.
template <typename T, typename Token>
auto async_get(const future<T>& f, Token&& token) {
  static_cast<void>(f.done());
  return detail::async_get<false>(f, std::forward<Token>(token));
}
template <typename T, typename Token>
auto async_get(future<T>&& f, Token&& token) {
  static_cast<void>(f.done());
  return detail::async_get<true>(std::move(f), std::forward<Token>(token));
}

/// Submits `call()` to `where`, and completes with what it returns or throws. A call that takes a
/// std::stop_token gets one. Any callable for a local_executor, a portable one for others.
template <std::derived_from<executor> Executor, typename Function, typename Token>
auto async_submit(Executor& where, submit_options options, Function&& call, Token&& token) {
  using result = detail::call_result<Function>;
  return detail::net::async_initiate<Token, typename detail::asio_signature<result>::type>(
      [](auto handler, Executor* e, submit_options how, auto function) {
        future<result> f;
        try {
          f = e->submit(std::move(how), std::move(function));
        } catch (...) {
          promise<result> refused;
          f = refused.get_future();
          refused.set_exception(std::current_exception());
        }
        detail::deliver<true>(f, std::move(handler));
      },
      token, &where, std::move(options), std::decay_t<Function>(std::forward<Function>(call)));
}
template <std::derived_from<executor> Executor, typename Function, typename Token>
  requires(!std::same_as<std::remove_cvref_t<Function>, submit_options>)
auto async_submit(Executor& where, Function&& call, Token&& token) {
  return async_submit(where, submit_options{}, std::forward<Function>(call),
                      std::forward<Token>(token));
}

}  // namespace cadre
