/* SPDX-License-Identifier: BSD-3-Clause */
/* The JSON Schema of a configuration; tests/cli/test_config_schema.py has what it allows. */
#include "options_fixture.h"

static void the_published_one_is_that_of_the_tables(void **state)
{
	const char *path = getenv("RINGWAY_SCHEMA");
	json_t *schema = options_schema(), *published;
	json_error_t why;

	(void)state;
	assert_non_null(schema);
	assert_non_null(path);
	published = json_load_file(path, 0, &why);
	if (!published || !json_equal(schema, published))
		fail_msg("%s is not what the tables of options say; write it again: "
			 "build/app/ringwayd --config-schema > config/ringway.schema.json",
			path);
	json_decref(published);
	json_decref(schema);
}

/* Every key has a schema. */
static void every_option_is_in_it(void **state)
{
	json_t *schema = options_schema(), *settings = json_object_get(schema, "properties");
	char *text = json_dumps(schema, 0);
	const struct port_option *option;
	const struct port_kind *kind;

	(void)state;
	for (size_t i = 0; i < options_nrows; i++)
		assert_int_equal(!!json_object_get(settings, options_row_key(&options_rows[i])),
			!options_rows[i].words_only);
	for (unsigned k = 0; (kind = kind_at(k)); k++) {
		for (unsigned i = 0; (option = options_port_option(kind, i)); i++) {
			char key[80];

			snprintf(key, sizeof(key), "\"%s\": {", option->key);
			if (!strstr(text, key))
				fail_msg("no %s", option->key);
		}
	}
	free(text);
	json_decref(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_one_is_that_of_the_tables),
		cmocka_unit_test(every_option_is_in_it),
	};

	return cmocka_run_group_tests_name("options_schema", tests, NULL, NULL);
}
