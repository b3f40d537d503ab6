// SPDX-License-Identifier: MIT
// An exception of type E that was thrown in another process: an E with its origin.
#pragma once

#include <cadre/errors.hpp>

#include <concepts>
#include <exception>
#include <utility>

namespace cadre::detail {

template <typename E>
class carried : public E, public remote_origin {
 public:
  carried(E e, const remote_origin& origin) : E{std::move(e)}, remote_origin{origin} {}
};

template <typename E>
class carried_nested : public E, public std::nested_exception {
 public:
  explicit carried_nested(E e) : E{std::move(e)} {}
};

/// `e` as thrown, with the exception that is being handled nested in it if `nests`.
template <typename E>
std::exception_ptr thrown(E e, bool nests) {
  try {
    if constexpr (!std::derived_from<E, std::nested_exception>) {
      if (nests) throw carried_nested<E>{std::move(e)};
    }
    throw E{std::move(e)};
  } catch (...) {
    return std::current_exception();
  }
}

template <typename E>
std::exception_ptr carry(E e, const remote_origin& origin, bool nests) {
  if constexpr (std::derived_from<E, remote_origin>) {
    return thrown(std::move(e), nests);
  } else {
    return thrown(carried<E>{std::move(e), origin}, nests);
  }
}

}  // namespace cadre::detail
