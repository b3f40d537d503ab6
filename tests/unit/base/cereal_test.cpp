// SPDX-License-Identifier: MIT
// What cereal can archive crosses. Left out of the build where cereal is not installed.
#include <cadre/cereal.hpp>

#include <gtest/gtest.h>
#include <cereal/types/base_class.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/polymorphic.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "support/codec_samples.hpp"

namespace cadre::test {

class animal {
 public:
  virtual ~animal() = default;
  virtual std::string sound() const = 0;
};
class dog : public animal {
 public:
  std::string sound() const override { return name + " barks"; }
  std::string name;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(cereal::make_nvp("name", name));
  }
};

struct link {
  int value = 0;
  std::shared_ptr<link> next = {};
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(value, next);
  }
};

class outside {  // by functions outside, and a base
 public:
  std::vector<bool> flags;
  std::vector<double> numbers;
  std::vector<std::string> texts;

 private:
  [[maybe_unused]] int hidden_ = 0;
};
template <typename Archive>
void serialize(Archive& archive, outside& value) {
  archive(value.flags, value.numbers, value.texts);
}

}  // namespace cadre::test

CEREAL_REGISTER_TYPE(cadre::test::dog)
CEREAL_REGISTER_POLYMORPHIC_RELATION(cadre::test::animal, cadre::test::dog)

namespace cadre::test {

TEST(cereal, what_is_shared_stays_shared) {
  const auto shared = std::make_shared<int>(7);

  const auto same = copied(std::make_shared<std::vector<std::shared_ptr<int>>>(2, shared));

  EXPECT_EQ(*same->at(0), 7);
  EXPECT_EQ(same->at(0), same->at(1));
}

TEST(cereal, pointers_to_bases_keep_what_they_point_to) {
  auto rex = std::make_shared<dog>();
  rex->name = "Rex";
  const std::shared_ptr<animal> pet = rex;

  EXPECT_EQ(copied(pet)->sound(), "Rex barks");
}

TEST(cereal, functions_outside_of_a_class_are_found) {
  outside value;
  value.flags = {true, false};
  value.numbers = {1.5};
  value.texts = {"a", "b"};

  const auto same = copied(value);

  EXPECT_EQ(same.flags, value.flags);
  EXPECT_EQ(same.numbers, value.numbers);
  EXPECT_EQ(same.texts, value.texts);
}

TEST(cereal, what_cereal_refuses_is_a_codec_error) {
  struct stray : animal {
    std::string sound() const override { return {}; }
  };
  const std::shared_ptr<animal> unregistered = std::make_shared<stray>();
  encoder out;

  EXPECT_THROW(encode(out, unregistered), codec_error);
}

TEST(cereal, no_count_is_believed_beyond_the_bytes) {
  outside value;
  value.numbers = {1.5};
  auto frame = encoded(value);
  for (std::size_t i = 8; i < 14; ++i) frame[i] = std::byte{0xff};  // the count of numbers

  EXPECT_THROW(decoded<outside>(frame), codec_error);
}

TEST(cereal, depth_is_limited) {
  std::vector<std::byte> frame;
  for (int i = 0; i < 100'000; ++i) {  // a new pointer, and its link's value
    const std::uint32_t numbers[] = {0x80000000U + static_cast<std::uint32_t>(i) + 1, 5};
    const auto bytes = std::as_bytes(std::span{numbers});
    frame.insert(frame.end(), bytes.begin(), bytes.end());
  }

  EXPECT_THROW(decoded<std::shared_ptr<link>>(frame), codec_error);
}

// To be run under AddressSanitizer and UndefinedBehaviorSanitizer too.
TEST(cereal, damaged_frames_end_in_an_error_or_a_value) {
  std::mt19937 random{20};
  outside value;
  value.flags = {true, false};
  value.numbers = {1.5};
  value.texts = {"a", "b"};
  const auto good = encoded(value);
  unsigned refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto frame = good;
    frame[random() % frame.size()] = static_cast<std::byte>(random() % 256);
    if (i % 4 == 0) frame.resize(random() % frame.size());
    try {
      decoded<outside>(frame);
    } catch (const codec_error&) {
      ++refused;
    }
  }

  EXPECT_GT(refused, 5000U);
}

}  // namespace cadre::test
