// SPDX-License-Identifier: MIT
// register_exception: lets exceptions of your types keep their type between processes.
//
//     // parse_error.cpp, at namespace scope: worker processes never come to main()
//     [[maybe_unused]] const bool registered = cadre::register_exception<parse_error>(
//         [](cadre::encoder& out, const parse_error& e) { cadre::encode(out, e.line()); },
//         [](cadre::decoder& in) { return parse_error{cadre::decode<int>(in)}; });
//
// The exceptions of the standard library and of cadre need no registration. Others arrive as their nearest
// public base that is one of these, with the same what(), or that is registered, with what its function
// sends; those with no such base but std::exception as remote_error. See docs/guides/what-crosses.md.
//
// Types      A registered type must be a class that is not final; it arrives as a class derived from it,
//            so that it can carry its origin.
// Codes      std::system_error needs its category registered, too, if it is none of the standard
//            library's: register_error_category(), in codec.hpp.
// Threads    Any. Register before the first process pool starts, in all processes alike.
#pragma once

#include <cadre/codec.hpp>
#include <cadre/config.hpp>
#include <cadre/detail/carried.hpp>

#include <exception>
#include <string>
#include <typeinfo>
#include <utility>

namespace cadre {

namespace detail {

/// What is known of an exception that has come beside its type's own bytes.
struct arrival {
  const remote_origin& origin;
  const std::string& message;  // its what()
  bool nests;                  // that which is being handled
};

/// How exceptions of one type cross.
struct exception_type {
  using function = void (*)();

  const std::type_info* type;
  /// False if it cannot be encoded, or is of another type. Otherwise throws what the user's
  /// function throws.
  bool (*encode)(const exception_type& self, encoder& out, const std::exception_ptr& e);
  std::exception_ptr (*decode)(const exception_type& self, decoder& in, const arrival& how);
  function user_encode;
  function user_decode;
};

/// Later ones of the same type replace earlier ones.
CADRE_API bool add_exception_type(const exception_type& entry);

template <typename E>
bool encode_registered(const exception_type& self, encoder& out, const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const E& caught) {
    reinterpret_cast<void (*)(encoder&, const E&)>(self.user_encode)(out, caught);
    return true;
  } catch (...) {
    return false;
  }
}

template <typename E>
std::exception_ptr decode_registered(const exception_type& self, decoder& in, const arrival& how) {
  return carry(reinterpret_cast<E (*)(decoder&)>(self.user_decode)(in), how.origin, how.nests);
}

}  // namespace detail

/// `encode` writes what `decode` needs to make an equal one. Returns true, so that it can
/// initialise a variable.
template <typename E>
bool register_exception(void (*encode)(encoder&, const E&), E (*decode)(decoder&)) {
  static_assert(std::is_class_v<E> && !std::is_final_v<E>,
                "cadre: only exceptions of class types that are not final can be registered, "
                "because they arrive as a class derived from theirs");
  return detail::add_exception_type({&typeid(E), &detail::encode_registered<E>,
                                     &detail::decode_registered<E>,
                                     reinterpret_cast<detail::exception_type::function>(encode),
                                     reinterpret_cast<detail::exception_type::function>(decode)});
}

/// By codec<E>, or its serialize() member.
template <typename E>
bool register_exception() {
  return register_exception<E>([](encoder& out, const E& e) { cadre::encode(out, e); },
                               [](decoder& in) { return cadre::decode<E>(in); });
}

}  // namespace cadre
