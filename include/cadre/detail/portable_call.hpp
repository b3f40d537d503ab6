// SPDX-License-Identifier: MIT
// A call that can cross to another process of this program.
//
//   this process                          a worker
//   portable_call_traits::encode    -->   call_descriptor::run: decodes, calls, encodes the result
//   ...::decode_result              <--
//
// The two find each other by the address of the descriptor, which is the same in both up to where
// the module is loaded.
#pragma once

#include <cadre/bind.hpp>
#include <cadre/codec.hpp>
#include <cadre/config.hpp>
#include <cadre/detail/call.hpp>
#include <cadre/detail/plain.hpp>
#include <cadre/detail/portable.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <stop_token>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cadre::detail {

/// How that crosses which the codec knows nothing of. Installed by who makes worker processes.
struct crossings {
  void (*encode_function)(encoder& out, const void* function);
  void* (*decode_function)(decoder& in);
  void (*encode_exception)(encoder& out, const std::exception_ptr& e);
  std::exception_ptr (*decode_exception)(decoder& in);
};
CADRE_API void install(const crossings& how) noexcept;
/// Throws std::logic_error if nothing is installed.
CADRE_API const crossings& installed_crossings();

/// What a worker needs of a type of calls.
struct call_descriptor {
  static constexpr std::uint64_t expected_magic = 0x6361'6472'6543'616c;

  std::uint64_t magic;
  std::uint64_t type;  // a hash of its name: an address that fits by chance does not do
  bool takes_token;
  /// Decodes the call from `in`, calls it, and encodes the result into `out`. Throws what any of the
  /// three does.
  void (*run)(decoder& in, encoder& out, const std::stop_token& token);
};

/// What the submitting process needs of a type of calls.
struct portable_call_traits {
  const call_descriptor* descriptor;
  /// Encodes the callable with its arguments, and destroys them.
  void (*encode)(state_base& call, encoder& out);
  /// Runner only: the value that run() encoded, or what it throws to decode it, is there, to be
  /// published with finish().
  state_base::status (*decode_result)(state_base& call, decoder& in) noexcept;
  /// True if none of the user's code runs to decode the result that these bytes are, nor to destroy it.
  bool (*is_plain)(std::span<const std::byte> result) noexcept;
  /// For a result that is one large part; null if it never is.
  land_function land;
};

/// For a call that was to be encoded, and is run.
[[noreturn]] CADRE_API void throw_lent_call();

// --- callables ---

/// For callable_codec.
struct program_functions {
  template <typename F>
  void write(encoder& out, F* function) const {
    installed_crossings().encode_function(out, reinterpret_cast<const void*>(function));
  }
  template <typename F>
  F* read(decoder& in) const {
    return reinterpret_cast<F*>(installed_crossings().decode_function(in));
  }
};

template <typename Function>
void encode_callable(encoder& out, const Function& function) {
  callable_codec<Function>::encode(out, function, program_functions{});
}
template <typename Function>
Function decode_callable(decoder& in) {
  return callable_codec<Function>::decode(in, program_functions{});
}

template <typename Function, typename... Args>
void encode_work(encoder& out, const bound<Function, Args...>& work) {
  encode_callable(out, work.function);
  if constexpr (sizeof...(Args) != 0) encode(out, work.args);
}

/// A call in the making, for an executor that encodes it before submit() returns: arguments that the
/// caller keeps are not copied first.
template <typename T, typename Function, typename... Args>
struct lent_work {
  CADRE_MAY_SHARE_ADDRESS Function function;
  std::tuple<Args...> args;  // values and references

  T operator()() const { throw_lent_call(); }
  T operator()(const std::stop_token&) const { throw_lent_call(); }
};

/// Lvalues whose copy is more than a few bytes.
template <typename Arg>
inline constexpr bool is_lent = std::is_lvalue_reference_v<Arg> &&
                                std::is_same_v<std::remove_cvref_t<Arg>, std::decay_t<Arg>> &&
                                !std::is_trivially_copyable_v<std::remove_cvref_t<Arg>>;
template <typename Arg>
using lent_argument =
    std::conditional_t<is_lent<Arg>, const std::remove_cvref_t<Arg>&, std::decay_t<Arg>>;

template <typename T, typename Function, typename... Args>
void encode_work(encoder& out, const lent_work<T, Function, Args...>& work) {
  encode_callable(out, work.function);
  const nesting level{out, type_name<std::tuple<std::remove_cvref_t<Args>...>>()};
  std::apply([&](const auto&... args) { (put(out, args), ...); }, work.args);
}

/// What runs in the worker.
template <typename Work>
struct remote_work_of {
  using type = Work;
};
template <typename T, typename Function, typename... Args>
struct remote_work_of<lent_work<T, Function, Args...>> {
  using type = bound<Function, std::remove_cvref_t<Args>...>;
};

template <typename Work>
struct work_decoder;
template <typename Function, typename... Args>
struct work_decoder<bound<Function, Args...>> {
  static bound<Function, Args...> decode_from(decoder& in) {
    if constexpr (sizeof...(Args) == 0) {
      return {decode_callable<Function>(in)};
    } else {
      return {decode_callable<Function>(in), decode<std::tuple<Args...>>(in)};
    }
  }
};

// --- calls ---

/// FNV-1a.
constexpr std::uint64_t hash_name(std::string_view name) noexcept {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3;
  return hash;
}

/// `T`: the result, not const.
template <typename T, typename Work, bool TakesToken>
struct remote_side {
  static void run(decoder& in, encoder& out, [[maybe_unused]] const std::stop_token& token) {
    placed<Work> place{[&] { return work_decoder<Work>::decode_from(in); }};
    Work& work = *place;
    in.finish();
    const auto call = [&]() -> T {
      if constexpr (TakesToken) {
        return static_cast<T>(work(token));
      } else {
        return static_cast<T>(work());
      }
    };
    if constexpr (std::is_void_v<T>) {
      call();
    } else {
      placed<T> result{call};
      encode<T>(out, std::as_const(*result));
      apart::deliver(out);
      recycle(*result);
    }
    if constexpr (requires { work.args; }) {
      std::apply([](auto&... args) { (recycle(args), ...); }, work.args);
    }
  }

  template <typename Value>
  static void recycle(Value& value) noexcept {
    if constexpr (kind_of<Value> == kind::container) builtin_codec<Value>::recycle(value);
  }

  static constexpr std::uint64_t type() noexcept { return hash_name(__PRETTY_FUNCTION__); }

  static constexpr call_descriptor descriptor{call_descriptor::expected_magic, type(), TakesToken,
                                              &run};
};

/// `Call`: call or tracked_call.
template <typename Call>
class portable_call final : public Call {
 public:
  using Call::Call;

  const portable_call_traits* portable() const noexcept override { return &traits; }

 private:
  using value = std::remove_const_t<typename Call::result_type>;
  using work = typename remote_work_of<typename Call::function_type>::type;

  ~portable_call() override = default;

  static void encode_call(state_base& base, encoder& out) {
    auto& self = static_cast<portable_call&>(base);
    encode_work(out, self.function_);
    self.discard();
  }

  static state_base::status decode_result(state_base& base, decoder& in) noexcept {
    auto& self = static_cast<portable_call&>(base);
    return self.fill([&]() -> value {
      if constexpr (std::is_void_v<value>) {
        in.finish();
      } else {
        return decode_value(in);
      }
    });
  }
  /// Into the block: it may be too large for a stack. See read_in_place().
  template <typename Value = value>
  static Value decode_value(decoder& in) {
    Value result = decode<Value>(in);
    in.finish();
    return result;
  }

  static bool is_plain(std::span<const std::byte> result) noexcept {
    if constexpr (requires { codec<value>::is_plain(result); }) {
      return codec<value>::is_plain(result);
    } else {
      return is_plain_type<value>();
    }
  }

  static constexpr land_function land() noexcept {
    if constexpr (!std::is_void_v<value> && kind_of<value> == kind::container) {
      if constexpr (builtin_codec<value>::goes_apart) return &builtin_codec<value>::land;
    }
    return nullptr;
  }

  /// The callable is destroyed when it was encoded, or when it is clear that it will not be.
  void discard() noexcept override {
    if (!std::exchange(discarded_, true)) Call::discard();
  }

  static constexpr portable_call_traits traits{
      &remote_side<value, work, Call::takes_token>::descriptor, &encode_call, &decode_result,
      &is_plain, land()};

  bool discarded_ = false;
};

}  // namespace cadre::detail
