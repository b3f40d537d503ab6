// SPDX-License-Identifier: MIT
// What the compiler writes down of a class's bases. libstdc++ declares it in <cxxabi.h>; libc++ has the same
// objects, and does not declare them.
// Source: Itanium C++ ABI, 2.9.5 "RTTI layout".
#pragma once

#include <cxxabi.h>

#include <typeinfo>

#ifdef _LIBCPP_VERSION
namespace __cxxabiv1 {

// What these classes are is in libc++abi; only members are named here.
class __class_type_info : public std::type_info {
 public:
  ~__class_type_info() override;
};

class __si_class_type_info : public __class_type_info {
 public:
  ~__si_class_type_info() override;
  const __class_type_info* __base_type;
};

struct __base_class_type_info {
  static constexpr long __public_mask = 2;

  bool __is_public_p() const noexcept { return (__offset_flags & __public_mask) != 0; }

  const __class_type_info* __base_type;
  long __offset_flags;
};

class __vmi_class_type_info : public __class_type_info {
 public:
  ~__vmi_class_type_info() override;
  unsigned __flags;
  unsigned __base_count;
  __base_class_type_info __base_info[1];
};

}  // namespace __cxxabiv1
#endif
