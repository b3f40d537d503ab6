// SPDX-License-Identifier: MIT
#include "process/known_exceptions.hpp"

#include <any>
#include <concepts>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <typeinfo>
#include <utility>
#include <variant>

namespace cadre::detail {
namespace {

// Each body: encode() says false for what it cannot make again; decode() reads in order.

/// By its message, or, if the type decides that, by nothing.
template <typename E>
struct body {
  static bool encode(encoder& out, const E& e) {
    if constexpr (std::constructible_from<E, const std::string&>) {
      put(out, std::string{e.what()});
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

const std::error_category* const categories[] = {&std::generic_category(), &std::system_category(),
                                                 &std::iostream_category(),
                                                 &std::future_category()};

bool encode_code(encoder& out, const std::error_code& code) {
  for (std::size_t i = 0; i < std::size(categories); ++i) {
    if (code.category() == *categories[i]) {
      out.write(static_cast<unsigned char>(i));
      out.write(code.value());
      return true;
    }
  }
  return false;
}

std::error_code decode_code(decoder& in) {
  const auto category = in.read<unsigned char>();
  if (category >= std::size(categories)) in.fail("there is no error category of this number");
  return {in.read<int>(), *categories[category]};
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
    put(out, own_part(e.what(), e.code()));
    return encode_code(out, e.code());
  }
  static E decode(decoder& in) {
    const auto text = take<std::string>(in);
    const auto code = decode_code(in);
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
    put(out, own_part(e.std::system_error::what(), e.code()));
    put(out, e.path1());
    put(out, e.path2());
    return encode_code(out, e.code());
  }
  static error_type decode(decoder& in) {
    const auto text = take<std::string>(in);
    const auto first = take<std::filesystem::path>(in);
    const auto second = take<std::filesystem::path>(in);
    const auto code = decode_code(in);
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
struct body<worker_died> {
  static bool encode(encoder& out, const worker_died& e) {
    put(out, e.how());
    return true;
  }
  static worker_died decode(decoder& in) { return worker_died{take<worker_death>(in)}; }
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

template <typename E>
std::exception_ptr decode_known(const exception_type&, decoder& in, const remote_origin& origin,
                                bool nests) {
  if constexpr (std::same_as<E, remote_error>) {
    auto type_name = take<std::string>(in);
    auto message = take<std::string>(in);
    return carry(remote_error{std::move(type_name), std::move(message), origin}, origin, nests);
  } else {
    return carry(body<E>::decode(in), origin, nests);
  }
}

template <typename... E>
std::span<const exception_type> table_of(type_list<E...>) noexcept {
  static const exception_type table[] = {
      {&typeid(E), &encode_known<E>, &decode_known<E>, nullptr, nullptr}...};
  return table;
}

using known_types =
    type_list<std::exception, std::bad_alloc, std::bad_array_new_length, std::bad_cast,
              std::bad_any_cast, std::bad_typeid, std::bad_exception, std::bad_function_call,
              std::bad_optional_access, std::bad_variant_access, std::bad_weak_ptr,
              std::logic_error, std::invalid_argument, std::domain_error, std::length_error,
              std::out_of_range, std::runtime_error, std::range_error, std::overflow_error,
              std::underflow_error, std::system_error, std::ios_base::failure,
              std::filesystem::filesystem_error, std::future_error, error, cancelled_error,
              invalid_state_error, timeout_error, broken_promise, shutdown_error, broken_executor,
              queue_full, deadlock_error, codec_error, remote_error, worker_died>;

}  // namespace

std::span<const exception_type> known_exceptions() noexcept { return table_of(known_types{}); }

}  // namespace cadre::detail
