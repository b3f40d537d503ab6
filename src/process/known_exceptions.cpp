// SPDX-License-Identifier: MIT
#include "process/known_exceptions.hpp"

#include <any>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <new>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>
#include <version>

#include "base/what_of.hpp"
#include "process/exception_codec.hpp"

#ifdef __cpp_lib_format
#include <format>
#endif

namespace cadre::detail {
namespace {

// Each body: encode() says false for what it cannot make again; decode() reads in order.

/// By its message, or, if the type decides that, by nothing.
template <typename E>
struct body {
  static bool encode(encoder& out, const E& e) {
    if constexpr (std::constructible_from<E, const std::string&>) {
      put(out, text_of(e.what()));
    }
    return true;
  }
  static E decode([[maybe_unused]] decoder& in) {
    if constexpr (std::constructible_from<E, const std::string&>) {
      return E{take<std::string>(in)};
    } else {
      return E{};
    }
  }
};

// --- error codes ---

/// Of a code: its category is not registered in this process.
struct unknown_category {};

std::error_code take_code(decoder& in) {
  const int value = take<int>(in);
  const std::error_category* const category = find_category(in);
  if (category == nullptr) throw unknown_category{};
  return {value, *category};
}

/// What a system_error was made with: it appends the message of the code itself.
std::string own_part(std::string_view what, const std::error_code& code) {
  const std::string message = code.message();
  if (what == message) return {};
  if (what.ends_with(": " + message)) what.remove_suffix(message.size() + 2);
  return std::string{what};
}

template <typename E>
  requires(std::same_as<E, std::system_error> || std::same_as<E, std::ios_base::failure>)
struct body<E> {
  static bool encode(encoder& out, const E& e) {
    if (!knows_category(e.code().category())) return false;
    put(out, own_part(text_of(e.what()), e.code()));
    put(out, e.code());
    return true;
  }
  static E decode(decoder& in) {
    const auto text = take<std::string>(in);
    const auto code = take_code(in);
    if constexpr (std::same_as<E, std::system_error>) {
      return text.empty() ? E{code} : E{code, text};
    } else {
      return E{text, code};
    }
  }
};

template <>
struct body<std::filesystem::filesystem_error> {
  using error_type = std::filesystem::filesystem_error;
  static bool encode(encoder& out, const error_type& e) {
    if (!knows_category(e.code().category())) return false;
    put(out, own_part(e.std::system_error::what(), e.code()));
    put(out, e.path1());
    put(out, e.path2());
    put(out, e.code());
    return true;
  }
  static error_type decode(decoder& in) {
    const auto text = take<std::string>(in);
    const auto first = take<std::filesystem::path>(in);
    const auto second = take<std::filesystem::path>(in);
    const auto code = take_code(in);
    if (!second.empty()) return {text, first, second, code};
    if (!first.empty()) return {text, first, code};
    return {text, code};
  }
};

template <>
struct body<std::future_error> {
  static bool encode(encoder& out, const std::future_error& e) {
    out.write(e.code().value());
    return e.code().category() == std::future_category();
  }
  static std::future_error decode(decoder& in) {
    return std::future_error{static_cast<std::future_errc>(in.read<int>())};
  }
};

template <>
struct body<std::regex_error> {
  static bool encode(encoder& out, const std::regex_error& e) {
    put(out, static_cast<int>(e.code()));
    return true;
  }
  static std::regex_error decode(decoder& in) {
    return std::regex_error{static_cast<std::regex_constants::error_type>(take<int>(in))};
  }
};

template <>
struct body<worker_died> {
  static bool encode(encoder& out, const worker_died& e) {
    put(out, e.how());
    return true;
  }
  static worker_died decode(decoder& in) { return worker_died{take<worker_death>(in)}; }
};

/// Groups in groups, on their way out or in. More would use up a stack.
constexpr unsigned most_groups = 16;
constinit thread_local unsigned open_groups = 0;

struct group_level {
  group_level() noexcept { ++open_groups; }
  group_level(const group_level&) = delete;
  group_level& operator=(const group_level&) = delete;
  ~group_level() { --open_groups; }
};

template <>
struct body<exception_group> {
  static bool encode(encoder& out, const exception_group& e) {
    if (open_groups == most_groups) return false;
    const group_level level;
    out.write(std::uint64_t{e.exceptions().size()});
    for (const std::exception_ptr& each : e.exceptions()) encode_exception(out, each, {});
    return true;
  }
  static exception_group decode(decoder& in) {
    if (open_groups == most_groups) in.fail("groups of exceptions nest too deep");
    const group_level level;
    constexpr std::size_t least = 16;  // bytes of an exception
    std::vector<std::exception_ptr> all(in.read_count(least));
    if (all.empty()) in.fail("a group of exceptions is empty");
    for (std::exception_ptr& each : all) each = decode_exception(in);
    return {{}, std::move(all)};
  }
};

template <>
struct body<remote_error> {
  static bool encode(encoder& out, const remote_error& e) {
    put(out, e.type_name());
    put(out, e.message());
    return true;
  }
};

// --- the table ---

template <typename E>
bool encode_known(const exception_type&, encoder& out, const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const E& caught) {
    return body<E>::encode(out, caught);
  } catch (...) {
    return false;
  }
}

/// An E whose text its constructor cannot be told, or that arrives for a class derived from it.
template <typename E>
class worded : public E {
 public:
  worded(E e, const std::string& text)
      : E{std::move(e)}, text_{std::make_shared<const std::string>(text)} {}
  const char* what() const noexcept override { return text_->c_str(); }

 private:
  std::shared_ptr<const std::string> text_;  // to copy it throws nothing
};

template <typename E>
std::exception_ptr decode_known(const exception_type&, decoder& in, const arrival& how) {
  if constexpr (std::same_as<E, remote_error>) {
    auto type_name = take<std::string>(in);
    auto message = take<std::string>(in);
    return carry(remote_error{std::move(type_name), std::move(message), how.origin}, how.origin,
                 how.nests);
  } else {
    try {
      E e = body<E>::decode(in);
      if (how.message == e.what()) return carry(std::move(e), how.origin, how.nests);
      return carry(worded<E>{std::move(e), how.message}, how.origin, how.nests);
    } catch (const unknown_category&) {
      return carry(std::runtime_error{how.message}, how.origin, how.nests);
    }
  }
}

template <typename... E>
std::span<const exception_type> table_of(type_list<E...>) noexcept {
  static const exception_type table[] = {
      {&typeid(E), &encode_known<E>, &decode_known<E>, nullptr, nullptr}...};
  return table;
}

using known_types = type_list<
    std::exception, std::bad_alloc, std::bad_array_new_length, std::bad_cast, std::bad_any_cast,
    std::bad_typeid, std::bad_exception, std::bad_function_call, std::bad_optional_access,
    std::bad_variant_access, std::bad_weak_ptr, std::logic_error, std::invalid_argument,
    std::domain_error, std::length_error, std::out_of_range, std::runtime_error, std::range_error,
    std::overflow_error, std::underflow_error, std::system_error, std::ios_base::failure,
    std::filesystem::filesystem_error, std::future_error, std::regex_error, error, cancelled_error,
    invalid_state_error, timeout_error, broken_promise, shutdown_error, broken_executor, queue_full,
    deadlock_error, codec_error, exception_group, remote_error, worker_died
#ifdef __cpp_lib_format
    ,
    std::format_error
#endif
    >;

}  // namespace

std::span<const exception_type> known_exceptions() noexcept { return table_of(known_types{}); }

}  // namespace cadre::detail
