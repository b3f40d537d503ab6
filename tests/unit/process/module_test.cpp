// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include "process/module_table.hpp"

namespace cadre::test {
namespace {

using process::code_address;
using process::module_description;
using process::module_resolver;
using process::module_table;

int of_the_program() { return 42; }

const std::array<std::uint64_t, 2> read_only{1, 2};

template <typename Function>
const void* pointer(Function* function) {
  return reinterpret_cast<const void*>(function);
}

/// A resolver that knows all modules of the table.
module_resolver resolver_of(const module_table& table) {
  module_resolver resolver;
  for (std::uint32_t i = 0; i < table.module_count(); ++i) resolver.learn(i, table.describe(i));
  return resolver;
}

template <typename Action>
std::string error_of(Action action) {
  try {
    action();
    return {};
  } catch (const std::exception& e) {
    return e.what();
  }
}

/// A library that this program is not linked with.
struct library {
  explicit library(const char* name) : handle{::dlopen(name, RTLD_NOW)} {}
  ~library() { ::dlclose(handle); }
  library(const library&) = delete;
  library& operator=(const library&) = delete;

  void* handle;
};

constexpr const char* library_with_code = "libnss_compat.so.2";
constexpr const char* its_function = "_nss_compat_setpwent";

}  // namespace

TEST(module, finds_a_function_of_the_program) {
  module_table& table = module_table::instance();

  const code_address where = table.locate(pointer(&of_the_program));

  EXPECT_EQ(where.module, 0U);
  EXPECT_EQ(table.describe(0).path, "");
  EXPECT_EQ(resolver_of(table).function(where), pointer(&of_the_program));
}

TEST(module, finds_a_function_of_a_library) {
  module_table& table = module_table::instance();
  const void* const function = ::dlsym(RTLD_DEFAULT, "atoi");

  const code_address where = table.locate(function);

  EXPECT_NE(where.module, 0U);
  EXPECT_NE(table.describe(where.module).identity.find("build-id "), std::string::npos);
  EXPECT_EQ(resolver_of(table).function(where), function);
}

TEST(module, loads_a_library_that_the_other_process_had_loaded) {
  module_table& table = module_table::instance();
  code_address where;
  {
    const library here{library_with_code};
    ASSERT_NE(here.handle, nullptr) << ::dlerror();
    where = table.locate(::dlsym(here.handle, its_function));
  }
  module_resolver resolver = resolver_of(table);

  const void* const found = resolver.function(where);

  Dl_info info{};
  ASSERT_NE(::dladdr(found, &info), 0);
  EXPECT_STREQ(info.dli_sname, its_function);
}

TEST(module, keeps_its_index_when_it_is_loaded_again) {
  module_table& table = module_table::instance();
  std::array<code_address, 2> found{};
  for (code_address& each : found) {
    const library here{library_with_code};
    each = table.locate(::dlsym(here.handle, its_function));
  }

  EXPECT_EQ(found[0], found[1]);
}

TEST(module, refuses_an_address_that_belongs_to_none) {
  const auto heap = std::make_unique<int>();

  EXPECT_THROW(module_table::instance().locate(heap.get()), std::invalid_argument);
}

TEST(module, refuses_another_version) {
  module_table& table = module_table::instance();
  module_description other = table.describe(0);
  const std::string identity = other.identity;
  other.identity = "build-id 123456";
  module_resolver resolver;
  resolver.learn(0, other);

  const std::string error = error_of([&] { resolver.function({0, 0}); });

  EXPECT_NE(error.find("build-id 123456"), std::string::npos) << error;
  EXPECT_NE(error.find(identity), std::string::npos) << error;
}

TEST(module, refuses_a_library_that_is_gone) {
  module_resolver resolver;
  resolver.learn(0, {"/no/such/library.so", "build-id 1"});

  const std::string error = error_of([&] { resolver.function({0, 0}); });

  EXPECT_NE(error.find("cannot load /no/such/library.so"), std::string::npos) << error;
}

TEST(module, refuses_data_as_a_function_and_takes_it_as_data) {
  module_table& table = module_table::instance();
  module_resolver resolver = resolver_of(table);
  const code_address where = table.locate(&read_only);

  EXPECT_NE(error_of([&] { resolver.function(where); }), "");
  EXPECT_EQ(resolver.object(where, sizeof read_only, alignof(std::uint64_t)), &read_only);
}

TEST(module, refuses_data_beyond_the_end_or_misaligned) {
  module_table& table = module_table::instance();
  module_resolver resolver = resolver_of(table);
  const code_address where = table.locate(&read_only);

  EXPECT_NE(error_of([&] { resolver.object(where, std::size_t{1} << 40U, 1); }), "");
  EXPECT_NE(error_of([&] { resolver.object({0, where.offset + 1}, 1, 8); }), "");
  EXPECT_NE(error_of([&] { resolver.object({0, UINT64_MAX}, 1, 1); }), "");
  EXPECT_NE(error_of([&] { resolver.object({0, UINT64_MAX - 8}, 16, 1); }), "");
}

TEST(module, refuses_what_it_was_not_told) {
  module_resolver resolver;

  EXPECT_NE(error_of([&] { resolver.function({0, 0}); }), "");
  EXPECT_NE(error_of([&] { resolver.learn(7, {}); }), "");
}

}  // namespace cadre::test
