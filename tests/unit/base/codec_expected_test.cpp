// SPDX-License-Identifier: MIT
// std::expected, which C++20 has not: this file is compiled as C++23.
#include <cadre/codec.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>
#include <version>

#ifdef __cpp_lib_expected
#include <expected>
#endif

namespace cadre::test {

TEST(codec, gives_an_expected_back) {
#ifdef __cpp_lib_expected
  const auto copied = []<typename T>(const T& value) {
    encoder out;
    encode(out, value);
    decoder in{out.bytes()};
    T same = decode<T>(in);
    in.finish();
    return same;
  };
  using text = std::expected<std::string, std::error_code>;
  const text good{"a"};
  const text bad{std::unexpected{std::make_error_code(std::errc::io_error)}};
  using nothing = std::expected<void, std::vector<int>>;
  const nothing wrong{std::unexpected{std::vector{1, 2}}};

  EXPECT_EQ(copied(good), good);
  EXPECT_EQ(copied(bad), bad);
  EXPECT_TRUE(copied(nothing{}).has_value());
  EXPECT_EQ(copied(wrong).error(), wrong.error());
  EXPECT_FALSE((encodable<std::expected<int, int*>>));
  EXPECT_FALSE((encodable<std::expected<int*, int>>));
#else
  GTEST_SKIP() << "this standard library has no std::expected";
#endif
}

}  // namespace cadre::test
