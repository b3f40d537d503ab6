// SPDX-License-Identifier: MIT
// outcome: what a call came to, as a value: its result, or the exception that it threw. For a map that goes
// on after an element that failed.
//
//     for (auto& page : pool.map(cadre::keep_errors(&fetch), urls)) {
//       if (page) store(page.get());
//       else log(page.error);          // page.get() would throw it
//     }
//
// Kept       What the callable throws. Not what ends the call itself: a worker process that dies, a time
//            limit, a cancel, a call that ends its thread (pthread_exit); these end a map as ever.
//            submit_bulk() gives a future for each element.
// Crosses    To worker processes and back, if the callable and its result do; an exception does as
//            docs/guides/what-crosses.md says.
// Source     std::expected, Rust's Result in an iterator.
#pragma once

#include <cadre/codec.hpp>
#include <cadre/config.hpp>
#include <cadre/detail/portable_call.hpp>

#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cadre {

/// An aggregate. Exactly one of the two is set.
template <typename T>
struct outcome {
  std::optional<T> value = {};
  std::exception_ptr error = nullptr;

  explicit operator bool() const noexcept { return error == nullptr; }

  /// The result. Throws the error if there is one.
  T& get() & {
    if (error) std::rethrow_exception(error);
    return *value;
  }
  const T& get() const& {
    if (error) std::rethrow_exception(error);
    return *value;
  }
  T get() && {
    if (error) std::rethrow_exception(error);
    return *std::move(value);
  }
};

template <>
struct outcome<void> {
  std::exception_ptr error = nullptr;

  explicit operator bool() const noexcept { return error == nullptr; }
  /// Throws the error if there is one.
  void get() const {
    if (error) std::rethrow_exception(error);
  }
};

/// What keep_errors() returns. An aggregate, so that it can be sent if its function can.
template <typename Function>
struct error_keeper {
  [[no_unique_address]] Function function;

  template <typename... Args>
    requires std::is_invocable_v<const Function&, Args...>
  auto operator()(Args&&... args) const {
    using result = std::invoke_result_t<const Function&, Args...>;
    static_assert(
        !std::is_reference_v<result>,
        "keep_errors: the callable returns a reference, which an outcome cannot hold; let it "
        "return a value or a pointer");
    outcome<std::remove_cv_t<result>> kept;
    try {
      if constexpr (std::is_void_v<result>) {
        std::apply(function, std::forward_as_tuple(std::forward<Args>(args)...));
      } else {
        kept.value.emplace(
            std::apply(function, std::forward_as_tuple(std::forward<Args>(args)...)));
      }
    } catch (...) {
      kept.error = std::current_exception();
      if (!kept.error) throw;  // the call ends its thread: who runs it tells by what name
    }
    return kept;
  }
};

/// `function`, whose exceptions are returned: its result is an outcome<R>.
template <typename Function>
constexpr error_keeper<std::decay_t<Function>> keep_errors(Function&& function) {
  return {std::forward<Function>(function)};
}

template <typename T>
struct codec<outcome<T>> {
  static void encode(encoder& out, const outcome<T>& value) {
    ::cadre::encode(out, value.error != nullptr);
    if (value.error) {
      detail::installed_crossings().encode_exception(out, value.error);
    } else if constexpr (!std::is_void_v<T>) {
      ::cadre::encode(out, *value.value);
    }
  }
  static outcome<T> decode(decoder& in) {
    outcome<T> value;
    if (::cadre::decode<bool>(in)) {
      value.error = detail::installed_crossings().decode_exception(in);
    } else if constexpr (!std::is_void_v<T>) {
      value.value.emplace(::cadre::decode<T>(in));
    }
    return value;
  }
};

}  // namespace cadre
