// SPDX-License-Identifier: MIT
// Exceptions arrive as what they were, with what they nest, and with their origin.
#include "process/exception_codec.hpp"

#include <cadre/register_exception.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <any>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

namespace cadre::test {

class parse_error : public std::runtime_error {
 public:
  parse_error(int at, const std::string& text) : std::runtime_error{text}, line{at} {}
  int line;
};

struct unfit {  // not a std::exception, and by its serialize()
  int code = 0;
  std::vector<std::string> notes;
  virtual ~unfit() = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(code, notes);
  }
};

struct defect : std::runtime_error {  // its functions throw
  using std::runtime_error::runtime_error;
};
struct half_defect : std::runtime_error {  // that which decodes throws
  using std::runtime_error::runtime_error;
};
class unknown : public std::exception {
 public:
  explicit unknown(std::string text) : text_{std::move(text)} {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};
struct speechless : std::exception {
  const char* what() const noexcept override { return nullptr; }
};
// Of types that are known, but not themselves.
struct bad_row : std::out_of_range {
  using std::out_of_range::out_of_range;
};
struct bad_cell : bad_row {
  using bad_row::bad_row;
  const char* what() const noexcept override { return "a cell"; }
};
struct no_pages : std::bad_alloc {
  const char* what() const noexcept override { return "no huge pages"; }
};
struct bad_header : parse_error {
  using parse_error::parse_error;
};
struct tagged {
  virtual ~tagged() = default;
};
struct tagged_error : tagged, private parse_error {
  tagged_error() : parse_error{1, "private"} {}
};
struct late : timeout_error {
  using timeout_error::timeout_error;
};
/// Its what() has no end within reason.
struct endless : std::exception {
  const char* what() const noexcept override {
    static const std::string text(std::size_t{3} << 20, 'x');
    return text.c_str();
  }
};

namespace {

[[maybe_unused]] const bool registered_parse_error = register_exception<parse_error>(
    [](encoder& out, const parse_error& e) {
      encode(out, e.line);
      encode(out, std::string{e.what()});
    },
    [](decoder& in) {
      const int line = decode<int>(in);
      return parse_error{line, decode<std::string>(in)};
    });
[[maybe_unused]] const bool registered_unfit = register_exception<unfit>();
[[maybe_unused]] const bool registered_defect = register_exception<defect>(
    [](encoder& out, const defect&) {
      encode(out, 1);
      throw 1;
    },
    [](decoder&) { return defect{""}; });
[[maybe_unused]] const bool registered_half_defect =
    register_exception<half_defect>([](encoder& out, const half_defect&) { encode(out, 1); },
                                    [](decoder&) -> half_defect { throw 1; });

std::vector<std::byte> bytes_of(const std::exception_ptr& e) {
  encoder out;
  detail::encode_exception(out, e, "the call", {{"a.so", 0x10}});
  return {out.bytes().begin(), out.bytes().end()};
}

std::exception_ptr crossed(const std::exception_ptr& e) {
  const auto bytes = bytes_of(e);
  decoder in{bytes};
  auto same = detail::decode_exception(in);
  in.finish();
  return same;
}

template <typename E>
std::exception_ptr crossed(E e) {
  return crossed(std::make_exception_ptr(std::move(e)));
}

/// The exception as an E, and of no class derived from E but ours.
template <typename E>
const E& as(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const E& caught) {
    return caught;  // a part of the object that e keeps
  } catch (...) {
    throw std::logic_error{"arrived as another type"};
  }
}

template <typename E>
void expect_same(const E& e) {
  const auto arrived = crossed(e);

  EXPECT_STREQ(as<E>(arrived).what(), e.what()) << typeid(E).name();
  ASSERT_NE(origin_of(arrived), nullptr) << typeid(E).name();
  EXPECT_FALSE((std::is_base_of_v<std::runtime_error, E> && !std::is_same_v<E, remote_error> &&
                dynamic_cast<const remote_error*>(&as<E>(arrived)) != nullptr))
      << typeid(E).name();
}

std::exception_ptr nest(unsigned depth) {
  std::exception_ptr e = std::make_exception_ptr(std::out_of_range{"level 0"});
  for (unsigned i = 1; i < depth; ++i) {
    try {
      try {
        std::rethrow_exception(e);
      } catch (...) {
        std::throw_with_nested(std::runtime_error{"level " + std::to_string(i)});
      }
    } catch (...) {
      e = std::current_exception();
    }
  }
  return e;
}

std::vector<std::string> messages(std::exception_ptr e) {
  std::vector<std::string> all;
  while (e) {
    try {
      std::rethrow_exception(std::exchange(e, nullptr));
    } catch (const std::exception& caught) {
      all.emplace_back(caught.what());
      if (const auto* outer = dynamic_cast<const std::nested_exception*>(&caught)) {
        e = outer->nested_ptr();
      }
    }
  }
  return all;
}

}  // namespace

TEST(exception_codec, keeps_standard_types) {
  expect_same(std::exception{});
  expect_same(std::bad_alloc{});
  expect_same(std::bad_array_new_length{});
  expect_same(std::bad_cast{});
  expect_same(std::bad_any_cast{});
  expect_same(std::bad_typeid{});
  expect_same(std::bad_exception{});
  expect_same(std::bad_function_call{});
  expect_same(std::bad_optional_access{});
  expect_same(std::bad_variant_access{});
  expect_same(std::bad_weak_ptr{});
  expect_same(std::logic_error{"a"});
  expect_same(std::invalid_argument{"b"});
  expect_same(std::domain_error{"c"});
  expect_same(std::length_error{"d"});
  expect_same(std::out_of_range{"e"});
  expect_same(std::runtime_error{"f"});
  expect_same(std::range_error{"g"});
  expect_same(std::overflow_error{"h"});
  expect_same(std::underflow_error{""});
  expect_same(std::future_error{std::future_errc::no_state});
}

TEST(exception_codec, keeps_the_types_of_cadre) {
  expect_same(error{"a"});
  expect_same(cancelled_error{"b"});
  expect_same(invalid_state_error{"c"});
  expect_same(timeout_error{"d"});
  expect_same(broken_promise{"e"});
  expect_same(shutdown_error{"f"});
  expect_same(broken_executor{"g"});
  expect_same(queue_full{"h"});
  expect_same(deadlock_error{"i"});
  expect_same(codec_error{"j"});
  expect_same(worker_died{{.pid = 7, .signal = 11, .call = "render"}});
}

TEST(exception_codec, keeps_groups_and_what_they_hold) {
  const exception_group inner{"inner", {std::make_exception_ptr(parse_error{7, "a"})}};
  const exception_group group{
      "task_group", {std::make_exception_ptr(unknown{"b"}), std::make_exception_ptr(inner)}};
  expect_same(group);

  const auto e = crossed(group);
  const auto& held = as<exception_group>(e).exceptions();

  ASSERT_EQ(held.size(), 2U);
  EXPECT_EQ(as<remote_error>(held[0]).message(), "b");
  EXPECT_EQ(as<parse_error>(as<exception_group>(held[1]).exceptions().at(0)).line, 7);
  EXPECT_EQ(as<parse_error>(as<exception_group>(crossed(held[1])).exceptions().at(0)).line, 7);
}

TEST(exception_codec, cuts_groups_in_groups) {
  auto e = std::make_exception_ptr(1);
  for (int i = 0; i < 100; ++i) e = std::make_exception_ptr(exception_group{"deep", {e}});

  int depth = 0;
  for (auto next = crossed(e); next; ++depth) {
    try {
      std::rethrow_exception(std::exchange(next, nullptr));
    } catch (const exception_group& group) {
      next = group.exceptions().at(0);
    } catch (const error& last) {  // its base
      EXPECT_EQ(origin_of(last)->thrown_type, "cadre::exception_group");
    }
  }

  EXPECT_EQ(depth, 17);
}

TEST(exception_codec, keeps_codes_and_categories) {
  expect_same(std::system_error{ENOENT, std::generic_category(), "open"});
  expect_same(std::system_error{ENOENT, std::system_category()});
  expect_same(std::ios_base::failure{"read", std::make_error_code(std::io_errc::stream)});
  const auto e = crossed(std::system_error{EACCES, std::system_category(), "open: a: b"});

  EXPECT_EQ(as<std::system_error>(e).code(), std::error_code(EACCES, std::system_category()));
}

TEST(exception_codec, keeps_what_a_stream_throws) {
  std::ifstream file;
  file.exceptions(std::ios::failbit);
  std::exception_ptr e;
  try {
    file.open("/no/such/file");
  } catch (...) {
    e = std::current_exception();
  }

  EXPECT_STREQ(as<std::ios_base::failure>(crossed(e)).what(), as<std::ios_base::failure>(e).what());
}

TEST(exception_codec, keeps_paths) {
  using std::filesystem::filesystem_error;
  const auto code = std::make_error_code(std::errc::permission_denied);
  expect_same(filesystem_error{"copy", code});
  expect_same(filesystem_error{"copy", "/from", code});
  expect_same(filesystem_error{"copy", "/from", "/to", code});

  EXPECT_EQ(as<filesystem_error>(crossed(filesystem_error{"copy", "/from", "/to", code})).path2(),
            "/to");
}

TEST(exception_codec, keeps_registered_types) {
  const auto e = crossed(parse_error{42, "bad header"});

  EXPECT_EQ(as<parse_error>(e).line, 42);
  EXPECT_STREQ(as<parse_error>(e).what(), "bad header");
}

TEST(exception_codec, keeps_registered_types_by_their_codec) {
  unfit thrown;
  thrown.code = 3;
  thrown.notes = {"a", "b"};
  const auto e = crossed(thrown);

  EXPECT_EQ(as<unfit>(e).code, 3);
  EXPECT_EQ(as<unfit>(e).notes, thrown.notes);
}

TEST(exception_codec, tells_what_others_were) {
  const auto e = crossed(unknown{"bad header"});
  const auto& arrived = as<remote_error>(e);

  EXPECT_EQ(arrived.type_name(), "cadre::test::unknown");
  EXPECT_EQ(arrived.message(), "bad header");
  EXPECT_EQ(arrived.pid, ::getpid());
  EXPECT_EQ(arrived.call, "the call");
  EXPECT_FALSE(arrived.host.empty());
  EXPECT_NE(std::string{arrived.what()}.find("cadre::test::unknown: bad header"),
            std::string::npos);
}

TEST(exception_codec, tells_what_is_no_exception_class) {
  EXPECT_EQ(as<remote_error>(crossed(42)).type_name(), "int");
  EXPECT_EQ(as<remote_error>(crossed("text")).message(), "text");
  EXPECT_EQ(as<remote_error>(crossed(std::string{"text"})).message(), "text");
}

TEST(exception_codec, takes_null_for_an_empty_message) {
  EXPECT_EQ(as<remote_error>(crossed(speechless{})).type_name(), "cadre::test::speechless");
  EXPECT_EQ(as<remote_error>(crossed(speechless{})).message(), "");
  EXPECT_EQ(as<remote_error>(crossed(static_cast<const char*>(nullptr))).message(), "");
  EXPECT_EQ(as<remote_error>(crossed(nullptr)).message(), "");
}

TEST(exception_codec, copies_messages_byte_by_byte_and_not_without_end) {
  const std::string no_utf8 = "\xff\xc0 \x80";

  EXPECT_EQ(as<remote_error>(crossed(unknown{no_utf8})).message(), no_utf8);
  EXPECT_EQ(as<remote_error>(crossed(endless{})).message().size(), std::size_t{1} << 20);
}

TEST(exception_codec, tells_of_a_category_that_it_does_not_know) {
  struct : std::error_category {
    const char* name() const noexcept override { return "mine"; }
    std::string message(int) const override { return "broken"; }
  } static const mine;

  const auto e = crossed(std::system_error{1, mine, "open"});

  EXPECT_STREQ(as<std::runtime_error>(e).what(), "open: broken");
  EXPECT_EQ(dynamic_cast<const std::system_error*>(&as<std::runtime_error>(e)), nullptr);
  EXPECT_EQ(origin_of(e)->thrown_type, "std::system_error");
}

TEST(exception_codec, tells_of_a_category_that_is_registered_in_the_worker_only) {
  static const struct : std::error_category {
    const char* name() const noexcept override { return "workers"; }
    std::string message(int) const override { return "broken"; }
  } theirs;
  register_error_category(theirs);
  auto bytes = bytes_of(std::make_exception_ptr(std::system_error{1, theirs, "open"}));
  const std::string name = "workers";
  const auto found = std::search(bytes.begin(), bytes.end(), name.begin(), name.end(),
                                 [](std::byte b, char c) { return b == std::byte(c); });
  ASSERT_NE(found, bytes.end());
  *found = std::byte{'x'};
  decoder in{bytes};
  const auto e = detail::decode_exception(in);
  in.finish();

  EXPECT_STREQ(as<std::runtime_error>(e).what(), "open: broken");
}

TEST(exception_codec, keeps_registered_categories) {
  struct : std::error_category {
    const char* name() const noexcept override { return "of the program"; }
    std::string message(int) const override { return "broken"; }
  } static const ours;
  register_error_category(ours);

  const auto e = crossed(std::system_error{1, ours, "open"});

  EXPECT_EQ(as<std::system_error>(e).code(), std::error_code(1, ours));
  EXPECT_STREQ(as<std::system_error>(e).what(), "open: broken");
}

TEST(exception_codec, keeps_the_nearest_base_that_is_known) {
  const auto e = crossed(bad_cell{"row 3"});

  EXPECT_STREQ(as<std::out_of_range>(e).what(), "a cell");
  EXPECT_EQ(origin_of(e)->thrown_type, "cadre::test::bad_cell");
  EXPECT_STREQ(as<std::out_of_range>(crossed(bad_row{"row 3"})).what(), "row 3");
  EXPECT_STREQ(as<std::bad_alloc>(crossed(no_pages{})).what(), "no huge pages");
  EXPECT_STREQ(as<timeout_error>(crossed(late{"in 5 s"})).what(), "in 5 s");
  EXPECT_EQ(as<parse_error>(crossed(bad_header{7, "h"})).line, 7);
}

TEST(exception_codec, takes_null_for_an_empty_message_of_a_known_base_too) {
  struct silent : std::runtime_error {
    silent() : std::runtime_error{"a"} {}
    const char* what() const noexcept override { return nullptr; }
  };
  struct silent_code : std::system_error {
    silent_code() : std::system_error{1, std::generic_category()} {}
    const char* what() const noexcept override { return nullptr; }
  };

  EXPECT_STREQ(as<std::runtime_error>(crossed(silent{})).what(), "");
  EXPECT_STREQ(as<std::system_error>(crossed(silent_code{})).what(), "");
}

TEST(exception_codec, keeps_no_base_that_the_thrower_could_not_be_caught_by) {
  EXPECT_EQ(as<remote_error>(crossed(tagged_error{})).type_name(), "cadre::test::tagged_error");
}

TEST(exception_codec, keeps_the_base_and_the_name_on_the_way_through_a_third_process) {
  const auto e = crossed(crossed(bad_cell{"row 3"}));

  EXPECT_STREQ(as<std::out_of_range>(e).what(), "a cell");
  EXPECT_EQ(origin_of(e)->thrown_type, "cadre::test::bad_cell");
}

TEST(exception_codec, keeps_what_a_regex_throws) {
  std::exception_ptr e;
  try {
    const std::regex open{"(a"};
  } catch (...) {
    e = std::current_exception();
  }
  const auto arrived = crossed(e);

  EXPECT_EQ(as<std::regex_error>(arrived).code(), std::regex_constants::error_paren);
  EXPECT_STREQ(as<std::regex_error>(arrived).what(), as<std::regex_error>(e).what());
}

TEST(exception_codec, adds_the_origin) {
  const auto e = crossed(std::runtime_error{"a"});
  const remote_origin* origin = origin_of(e);

  ASSERT_NE(origin, nullptr);
  EXPECT_EQ(origin->pid, ::getpid());
  EXPECT_EQ(origin->call, "the call");
  ASSERT_EQ(origin->frames.size(), 1U);
  EXPECT_EQ(origin->backtrace(), "#0 0x10 in a.so\n");
  EXPECT_EQ(origin_of(as<std::exception>(e)), origin);
  EXPECT_EQ(origin_of(std::make_exception_ptr(1)), nullptr);
}

TEST(exception_codec, keeps_the_first_origin_on_the_way_through_a_third_process) {
  encoder out;
  detail::encode_exception(out, crossed(std::out_of_range{"a"}), "another call");
  decoder in{out.bytes()};
  const auto e = detail::decode_exception(in);

  EXPECT_STREQ(as<std::out_of_range>(e).what(), "a");
  EXPECT_EQ(origin_of(e)->call, "the call");
}

TEST(exception_codec, relays_a_remote_error_as_it_is) {
  const auto first = crossed(unknown{"a"});
  const auto second = crossed(first);

  EXPECT_STREQ(as<remote_error>(second).what(), as<remote_error>(first).what());
}

TEST(exception_codec, keeps_what_is_nested) {
  const auto e = crossed(nest(3));

  EXPECT_EQ(messages(e), (std::vector<std::string>{"level 2", "level 1", "level 0"}));
  EXPECT_NO_THROW(as<std::runtime_error>(e));
  EXPECT_EQ(messages(crossed(e)), messages(e));
}

TEST(exception_codec, keeps_what_is_nested_in_registered_and_other_types) {
  std::exception_ptr e;
  try {
    try {
      try {
        throw parse_error{1, "inner"};
      } catch (...) {
        std::throw_with_nested(unknown{"middle"});
      }
    } catch (...) {
      std::throw_with_nested(parse_error{2, "outer"});
    }
  } catch (...) {
    e = std::current_exception();
  }

  const auto arrived = crossed(e);

  EXPECT_EQ(as<parse_error>(arrived).line, 2);
  const auto texts = messages(arrived);
  ASSERT_EQ(texts.size(), 3U);
  EXPECT_NE(texts[1].find("middle"), std::string::npos);
  EXPECT_EQ(texts[2], "inner");
}

TEST(exception_codec, cuts_endless_chains) { EXPECT_EQ(messages(crossed(nest(40))).size(), 16U); }

TEST(exception_codec, survives_functions_that_throw) {
  EXPECT_EQ(as<remote_error>(crossed(defect{"a"})).message(), "a");
  EXPECT_EQ(as<remote_error>(crossed(half_defect{"b"})).message(), "b");
}

TEST(exception_codec, nests_although_a_function_throws) {
  std::exception_ptr e;
  try {
    try {
      throw std::out_of_range{"inner"};
    } catch (...) {
      std::throw_with_nested(half_defect{"outer"});
    }
  } catch (...) {
    e = std::current_exception();
  }

  const auto texts = messages(crossed(e));

  ASSERT_EQ(texts.size(), 2U);
  EXPECT_EQ(texts[1], "inner");
}

TEST(exception_codec, shortens_what_does_not_fit) {
  encoder out{2000};
  detail::encode_exception(out, std::make_exception_ptr(unknown{std::string(100'000, 'x')}),
                           std::string(100'000, 'y'));
  decoder in{out.bytes()};
  const auto e = detail::decode_exception(in);

  EXPECT_EQ(as<remote_error>(e).type_name(), "cadre::test::unknown");
  EXPECT_EQ(as<remote_error>(e).message().substr(0, 10), "xxxxxxxxxx");
}

TEST(exception_codec, shortens_what_takes_more_than_it_may) {
  for (const auto& e : {std::make_exception_ptr(unknown{std::string(100'000, 'x')}),
                        std::make_exception_ptr(std::out_of_range{std::string(100'000, 'x')})}) {
    encoder out;
    out.write(1);  // of a batch of results, say
    detail::encode_exception(out, e, "call", {}, 2000);
    EXPECT_LE(out.size(), 2004U);
    decoder in{out.bytes().subspan(sizeof 1)};

    EXPECT_NE(detail::decode_exception(in), nullptr);
    in.finish();
  }
}

// To be run under AddressSanitizer and UndefinedBehaviorSanitizer too.
TEST(exception_codec, damaged_frames_end_in_an_error_or_an_exception) {
  std::mt19937 random{20};
  const std::vector<std::exception_ptr> thrown{
      nest(3),
      std::make_exception_ptr(parse_error{1, "a"}),
      std::make_exception_ptr(unknown{"b"}),
      std::make_exception_ptr(std::system_error{1, std::generic_category(), "c"}),
      std::make_exception_ptr(worker_died{{.pid = 7, .call = "d"}}),
      std::make_exception_ptr(exception_group{"e", {nest(2), std::make_exception_ptr(1)}})};
  unsigned refused = 0;
  for (const auto& e : thrown) {
    const auto good = bytes_of(e);
    for (int i = 0; i < 4000; ++i) {
      auto frame = good;
      for (int changes = 0; changes < 3; ++changes) {
        frame[random() % frame.size()] = static_cast<std::byte>(random() % 256);
      }
      if (i % 4 == 0) frame.resize(random() % frame.size());
      try {
        decoder in{frame};
        EXPECT_NE(detail::decode_exception(in), nullptr);
        in.finish();
      } catch (const codec_error&) {
        ++refused;
      }
    }
  }

  EXPECT_GT(refused, 5000U);
}

}  // namespace cadre::test
